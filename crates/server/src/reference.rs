//! The API's reference as one page, made from its own description.

use std::fmt::Write as _;

use utoipa::openapi::{OpenApi, RefOr};

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The page.
pub fn page(document: &OpenApi) -> String {
    let mut rows = String::new();
    for (path, item) in &document.paths.paths {
        let operations = [
            ("GET", &item.get),
            ("POST", &item.post),
            ("PUT", &item.put),
            ("DELETE", &item.delete),
        ];
        for (method, operation) in operations {
            let Some(operation) = operation else { continue };
            let what = operation.summary.as_deref().or(operation.description.as_deref());
            let answers: Vec<&str> = operation
                .responses
                .responses
                .iter()
                .filter(|(_, response)| matches!(response, RefOr::T(_)))
                .map(|(status, _)| status.as_str())
                .filter(|status| status.starts_with('2'))
                .collect();
            // Writing to a string cannot fail.
            let _ = write!(
                rows,
                "<tr><td class=m>{method}<td><code>{}</code><td>{}<td>{}</tr>",
                escape(path),
                escape(what.unwrap_or_default()),
                answers.join(", ")
            );
        }
    }
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>\
         body{{font:15px/1.5 system-ui,sans-serif;margin:3rem auto;max-width:72rem;color:#1a2330}}\
         table{{border-collapse:collapse;width:100%}}\
         th,td{{text-align:left;padding:.35rem .6rem;border-bottom:1px solid #d9dee5;vertical-align:top}}\
         .m{{font-weight:600}}</style><h1>{title} {version}</h1><p>{text}\
         <p>The whole description, with every field: <a href=/v1/openapi.json>openapi.json</a>. \
         Every refusal is <code>application/problem+json</code> with a stable <code>code</code> and \
         what to do next.\
         <table><tr><th>Method<th>Path<th>What<th>Answers</tr>{rows}</table></html>",
        title = escape(&document.info.title),
        version = escape(&document.info.version),
        text = escape(document.info.description.as_deref().unwrap_or_default()),
    )
}
