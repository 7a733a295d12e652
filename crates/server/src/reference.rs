//! The API's reference as one page, made from its own description: what there is to ask, what to
//! send, what comes back, field by field. It needs nothing from elsewhere and runs nothing.
//!
//! Everything that comes from the description is escaped on its way into the page.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::{Map, Value};
use utoipa::openapi::OpenApi;

/// Colours are the browser's own, so that the page is light or dark as its reader is.
const STYLE: &str = "
:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;padding:0 1rem;max-width:72rem;
background:Canvas;color:CanvasText}
h2{margin-top:3rem}
h3{margin:2.5rem 0 .25rem}
p{margin:.25rem 0}
code{font:.92em/1.4 ui-monospace,monospace;overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%;margin:.75rem 0}
caption{text-align:left;font-weight:600}
th,td{text-align:left;vertical-align:top;padding:.3rem .6rem;border-bottom:1px solid #8886}
td.either{font-style:italic;background:#8882}
.m{font-weight:600}
";

/// The methods that an API may have, in the order of a page.
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// The page.
pub fn page(document: &OpenApi) -> String {
    let document = serde_json::to_value(document).expect("the description is plain data");
    let info = &document["info"];
    let operations = operations(&document);
    let list: String = operations.iter().map(Operation::line).collect();
    let sections: String = operations.iter().map(Operation::section).collect();
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
         <style>{STYLE}</style></head><body><h1>{title} {version}</h1><p>{about}</p>\
         <p>The same for programs: <a href=\"/v1/openapi.json\">openapi.json</a>.</p>\
         {list}<h2>Refusals</h2>{refusals}<h2>Paths</h2>{sections}<h2>Types</h2>{types}\
         </body></html>",
        title = escape(said(info, "title")),
        version = escape(said(info, "version")),
        about = text(said(info, "description")),
        list = table("All paths", &["Method", "Path", "What"], &list),
        refusals = refusals(&operations),
        types = types(&document["components"]["schemas"]),
    )
}

/// A method of a path.
struct Operation<'a> {
    method: &'a str,
    path: &'a str,
    what: &'a Value,
}

fn operations(document: &Value) -> Vec<Operation<'_>> {
    let mut operations = Vec::new();
    for (path, item) in entries(&document["paths"]) {
        for method in METHODS.into_iter().filter(|method| item[*method].is_object()) {
            operations.push(Operation { method, path, what: &item[method] });
        }
    }
    operations
}

impl Operation<'_> {
    fn anchor(&self) -> String {
        anchor(&[self.method, self.path].concat())
    }
    /// In the list of all.
    fn line(&self) -> String {
        let Self { method, path, what } = self;
        let link = format!("<a href=\"#{}\">{}</a>", self.anchor(), code(path));
        row(&[verb(method), link, text(said(what, "summary"))])
    }
    /// All of it.
    fn section(&self) -> String {
        let Self { method, path, what } = self;
        let mut html =
            format!("<section id=\"{}\"><h3>{} {}</h3>", self.anchor(), verb(method), code(path));
        for words in [said(what, "summary"), said(what, "description")] {
            html.push_str(&paragraph(&text(words)));
        }
        // An empty requirement among the ways to authenticate is the way without.
        if items(&what["security"]).iter().filter_map(Value::as_object).any(Map::is_empty) {
            html.push_str("<p>It asks for no token.</p>");
        }
        html.push_str(&parameters(&what["parameters"]));
        html.push_str(&body(&what["requestBody"]));
        html.push_str(&answers(&what["responses"]));
        html.push_str("</section>");
        html
    }
}

fn parameters(list: &Value) -> String {
    let rows = items(list).iter().map(|parameter| {
        row(&[
            code(said(parameter, "name")),
            escape(said(parameter, "in")),
            type_of(&parameter["schema"]),
            yes(parameter["required"] == true),
            text(said(parameter, "description")),
        ])
    });
    let rows: String = rows.collect();
    table("Parameters", &["Name", "In", "Type", "Required", "What"], &rows)
}

fn body(body: &Value) -> String {
    let held = content(&body["content"]);
    if held.is_empty() {
        return held;
    }
    let about = text(said(body, "description"));
    paragraph(&format!("Body: {held}. {about}"))
}

/// What is sent or comes back, and as what; what comes in several forms is told once.
fn content(content: &Value) -> String {
    let mut kinds: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (kind, media) in entries(content) {
        kinds.entry(type_of(&media["schema"])).or_default().push(code(kind));
    }
    let told = kinds.into_iter().map(|(what, kinds)| format!("{what} as {}", kinds.join(", ")));
    told.collect::<Vec<_>>().join("; ")
}

fn is_refusal(status: &str) -> bool {
    !status.starts_with('2')
}

fn answers(responses: &Value) -> String {
    let good = entries(responses).filter(|(status, _)| !is_refusal(status));
    let good = good.map(|(status, response)| {
        let held = content(&response["content"]);
        let held = if held.is_empty() { "nothing".to_owned() } else { held };
        row(&[escape(status), held, text(said(response, "description"))])
    });
    let good: String = good.collect();
    let refused = entries(responses).filter(|(status, _)| is_refusal(status));
    let refused = refused.map(|(status, _)| {
        format!("<a href=\"#{}\">{}</a>", anchor(&format!("status-{status}")), escape(status))
    });
    let refused = refused.collect::<Vec<_>>().join(", ");
    let mut html = table("Answers", &["Status", "Body", "What"], &good);
    if !refused.is_empty() {
        html.push_str(&paragraph(&format!("Refusals: {refused}.")));
    }
    html
}

/// What each status of a refusal means: the same wherever it comes.
fn refusals(operations: &[Operation<'_>]) -> String {
    let mut known: BTreeMap<&str, &Value> = BTreeMap::new();
    for operation in operations {
        for (status, response) in entries(&operation.what["responses"]) {
            if is_refusal(status) {
                known.entry(status).or_insert(response);
            }
        }
    }
    let mut rows = String::new();
    for (status, response) in known {
        let mark = anchor(&format!("status-{status}"));
        rows.push_str(&row(&[
            format!("<span id=\"{mark}\">{}</span>", escape(status)),
            text(said(response, "description")),
            content(&response["content"]),
        ]));
    }
    table("Each has a stable code and says what to do next", &["Status", "What", "Body"], &rows)
}

fn types(schemas: &Value) -> String {
    let mut html = String::new();
    for (name, schema) in entries(schemas) {
        let mark = anchor(&format!("schema-{name}"));
        // Writing to a string cannot fail.
        let _ = write!(html, "<section id=\"{mark}\"><h3>{}</h3>", code(name));
        html.push_str(&paragraph(&text(said(schema, "description"))));
        let mut rows = String::new();
        fields(schema, "", &mut rows);
        if rows.is_empty() {
            html.push_str(&paragraph(&type_of(schema)));
        }
        html.push_str(&table("Fields", &["Name", "Type", "Required", "What"], &rows));
        html.push_str("</section>");
    }
    html
}

/// The fields of a schema. Those of an object inside it follow with its name in front: `a.b`,
/// `a[].b` in each of a list, `a.*.b` under each key.
fn fields(schema: &Value, before: &str, rows: &mut String) {
    for part in items(&schema["allOf"]) {
        if part["$ref"].is_string() {
            rows.push_str(&either(&format!("all of {}", type_of(part))));
        } else {
            fields(part, before, rows);
        }
    }
    for variant in items(&schema["oneOf"]).iter().chain(items(&schema["anyOf"])) {
        if variant["properties"].is_object() || variant["allOf"].is_array() {
            rows.push_str(&either(&format!("either: {}", text(said(variant, "description")))));
            fields(variant, before, rows);
        }
    }
    let required: BTreeSet<&str> =
        items(&schema["required"]).iter().filter_map(Value::as_str).collect();
    for (name, field) in entries(&schema["properties"]) {
        let full = format!("{before}{name}");
        rows.push_str(&row(&[
            code(&full),
            type_of(field),
            yes(required.contains(name.as_str())),
            text(said(field, "description")),
        ]));
        let (field, before) = inside(field, &full);
        fields(field, &before, rows);
    }
}

/// What is in a list or under the keys of a map, and what its fields carry in front.
fn inside<'a>(schema: &'a Value, name: &str) -> (&'a Value, String) {
    if schema["items"].is_object() {
        inside(&schema["items"], &format!("{name}[]"))
    } else if schema["additionalProperties"].is_object() {
        inside(&schema["additionalProperties"], &format!("{name}.*"))
    } else {
        (schema, format!("{name}."))
    }
}

/// A type in words, with a link where it has a section of its own.
fn type_of(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or(reference);
        let mark = anchor(&format!("schema-{name}"));
        return format!("<a href=\"#{mark}\">{}</a>", code(name));
    }
    for (key, by) in [("oneOf", " or "), ("anyOf", " or "), ("allOf", " and ")] {
        let parts = items(&schema[key]);
        if !parts.is_empty() {
            return parts.iter().map(type_of).collect::<Vec<_>>().join(by);
        }
    }
    let values = items(&schema["enum"]);
    if !values.is_empty() {
        let written = |value: &Value| match value.as_str() {
            Some(word) => code(word),
            None => code(&value.to_string()),
        };
        return values.iter().map(written).collect::<Vec<_>>().join(" or ");
    }
    let kinds = match &schema["type"] {
        Value::String(kind) => vec![kind.as_str()],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => vec!["anything"],
    };
    kinds.into_iter().map(|kind| plain_type(schema, kind)).collect::<Vec<_>>().join(" or ")
}

fn plain_type(schema: &Value, kind: &str) -> String {
    let values = &schema["additionalProperties"];
    match (kind, schema["format"].as_str()) {
        ("array", _) => format!("list of {}", type_of(&schema["items"])),
        ("object", _) if values.is_object() => format!("map to {}", type_of(values)),
        ("null", _) | (_, None) => escape(kind),
        (_, Some(format)) => format!("{} ({})", escape(kind), escape(format)),
    }
}

/// A text of a value, empty where there is none.
fn said<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn escape(plain: &str) -> String {
    let plain = plain.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    plain.replace('"', "&quot;")
}

fn code(plain: &str) -> String {
    format!("<code>{}</code>", escape(plain))
}

/// The words of the description in one line. They use one thing of Markdown: backticks around what
/// is to be written as it stands.
fn text(plain: &str) -> String {
    let line = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut parts = line.split('`');
    let mut html = escape(parts.next().unwrap_or_default());
    while let Some(part) = parts.next() {
        match parts.next() {
            Some(after) => {
                html.push_str(&code(part));
                html.push_str(&escape(after));
            }
            // A backtick without another is one.
            None => {
                html.push('`');
                html.push_str(&escape(part));
            }
        }
    }
    html
}

/// A name for a place in the page.
fn anchor(of: &str) -> String {
    of.chars().map(|char| if char.is_ascii_alphanumeric() { char } else { '-' }).collect()
}

fn verb(method: &str) -> String {
    format!("<span class=\"m\">{}</span>", escape(&method.to_uppercase()))
}

fn yes(is: bool) -> String {
    if is { "yes" } else { "" }.to_owned()
}

/// Of HTML; nothing where there is none.
fn paragraph(html: &str) -> String {
    if html.is_empty() { String::new() } else { format!("<p>{html}</p>") }
}

/// A row of cells of HTML.
fn row(cells: &[String]) -> String {
    format!("<tr><td>{}</td></tr>", cells.join("</td><td>"))
}

/// A row over all columns of a table of fields.
fn either(html: &str) -> String {
    format!("<tr><td class=\"either\" colspan=\"4\">{html}</td></tr>")
}

/// A table of rows of HTML; nothing where there are none.
fn table(caption: &str, heads: &[&str], rows: &str) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let heads = heads.join("</th><th>");
    format!("<table><caption>{caption}</caption><tr><th>{heads}</th></tr>{rows}</table>")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words_become_html_and_nothing_else() {
        let check = |plain, expect: &str| assert_eq!(text(plain), expect, "{plain}");
        check("", "");
        check("a `b` c", "a <code>b</code> c");
        check("`a`, `b`", "<code>a</code>, <code>b</code>");
        check("one\ntwo", "one two");
        check("a ` b", "a ` b");
        check("`a` ` b", "<code>a</code> ` b");
        check("`<b>` & \"c\"", "<code>&lt;b&gt;</code> &amp; &quot;c&quot;");
    }

    #[test]
    fn types_are_told_in_words() {
        let check = |schema: Value, expect: &str| {
            assert_eq!(type_of(&schema), expect, "{schema}");
        };
        check(Value::Null, "anything");
        check(json!({ "type": "string" }), "string");
        check(json!({ "type": ["integer", "null"], "format": "int64" }), "integer (int64) or null");
        check(json!({ "enum": ["a", 1] }), "<code>a</code> or <code>1</code>");
        let link = "<a href=\"#schema-Job\"><code>Job</code></a>";
        let job = json!({ "$ref": "#/components/schemas/Job" });
        check(json!({ "type": "array", "items": job }), &format!("list of {link}"));
        check(json!({ "type": "object", "additionalProperties": job }), &format!("map to {link}"));
        check(json!({ "oneOf": [job, { "type": "null" }] }), &format!("{link} or null"));
    }

    #[test]
    fn what_is_inside_carries_the_names_around_it() {
        let inner = json!({ "type": "object", "properties": { "d": { "type": "string" } } });
        let schema = json!({ "required": ["a"], "properties": {
            "a": inner, "b": { "items": inner }, "c": { "additionalProperties": inner } } });
        let mut rows = String::new();
        fields(&schema, "", &mut rows);
        for name in ["a", "a.d", "b", "b[].d", "c", "c.*.d"] {
            assert!(rows.contains(&format!("<td>{}</td>", code(name))), "{name}: {rows}");
        }
        assert_eq!(rows.matches("<td>yes</td>").count(), 1, "{rows}");
    }

    #[test]
    fn every_link_leads_somewhere() {
        let page = page(&crate::http::openapi());
        let links: BTreeSet<&str> =
            page.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(links.len() > 100, "{links:?}");
        for link in links {
            let places = page.matches(&format!("id=\"{link}\"")).count();
            assert_eq!(places, 1, "{link}");
        }
    }
}
