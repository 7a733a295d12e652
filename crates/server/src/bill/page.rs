//! A bill as a page for people: English or Chinese, for the screen and for paper, with nothing in it
//! from elsewhere. It rounds and adds up nothing: every figure is one of the invoice.

use std::fmt::Write as _;

use dayan_wire as wire;

/// The language of the page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PageLang {
    /// English.
    En,
    /// Chinese.
    Zh,
}

impl PageLang {
    /// By its code; English where it is not known.
    pub fn of(code: &str) -> Self {
        if code.starts_with("zh") { Self::Zh } else { Self::En }
    }

    const fn words(self) -> &'static Words {
        match self {
            Self::En => &ENGLISH,
            Self::Zh => &CHINESE,
        }
    }
}

struct Words {
    code: &'static str,
    title: &'static str,
    issuer: &'static str,
    to: &'static str,
    period: &'static str,
    number: &'static str,
    state: fn(&str) -> &str,
    total: &'static str,
    jobs: &'static str,
    job_heads: [&'static str; 5],
    met: &'static str,
    missed: &'static str,
    lines: &'static str,
    line_heads: [&'static str; 9],
    note: &'static str,
}

const ENGLISH: Words = Words {
    code: "en",
    title: "Invoice",
    issuer: "Issued by",
    to: "To",
    period: "Period",
    number: "Number",
    state: |state| state,
    total: "Total",
    jobs: "Jobs",
    job_heads: ["Name", "Project", "Job", "Deadline", "Amount"],
    met: "met",
    missed: "missed",
    lines: "Lines",
    line_heads: [
        "Attempt",
        "Provider",
        "From (UTC)",
        "Time, s",
        "Core-s",
        "GB-s",
        "Card-s",
        "Price per hour",
        "Amount",
    ],
    note: "A month is that of UTC+8; times are UTC. Each amount is (core-seconds × price of a core \
           + GB-seconds × price of a GB + card-seconds × price of a card) ÷ 3600 × share, rounded \
           once, to the nearest millionth. A GB is 10⁹ bytes.",
};

const CHINESE: Words = Words {
    code: "zh",
    title: "账单",
    issuer: "开具方",
    to: "客户",
    period: "账期",
    number: "编号",
    state: |state| match state {
        "open" => "未结",
        "final" => "已结",
        other => other,
    },
    total: "合计",
    jobs: "作业",
    job_heads: ["名称", "项目", "作业编号", "截止时间", "金额"],
    met: "按时",
    missed: "逾期",
    lines: "明细",
    line_heads: [
        "尝试",
        "供给方",
        "开始 (UTC)",
        "时长 (秒)",
        "核·秒",
        "GB·秒",
        "卡·秒",
        "每小时单价",
        "金额",
    ],
    note: "账期按东八区自然月，时间为 UTC。每行金额 =（核秒 × 核单价 + GB 秒 × GB 单价 + 卡秒 × 卡单价）\
           ÷ 3600 × 比例，仅四舍六入五成双一次，精确到百万分之一。1 GB = 10⁹ 字节。",
};

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// To the second: what is finer is in the JSON.
fn second(at: &str) -> String {
    let to_second = at.split('.').next().unwrap_or(at).trim_end_matches('Z');
    escape(&to_second.replace('T', " "))
}

fn price(price: &wire::LinePrice) -> String {
    let mut parts = Vec::new();
    for (amount, unit) in
        [(&price.core_hour, "core"), (&price.gb_hour, "GB"), (&price.card_hour, "card")]
    {
        if amount.bytes().any(|byte| (b'1'..=b'9').contains(&byte)) {
            parts.push(format!("{amount}/{unit}"));
        }
    }
    let share = match price.permille {
        0 | 1_000 => String::new(),
        permille => format!(" × {}.{}%", permille / 10, permille % 10),
    };
    escape(&(parts.join(" + ") + &share))
}

fn heads(words: &[&str], numbers_from: usize) -> String {
    let mut heads = String::new();
    for (at, word) in words.iter().enumerate() {
        heads.push_str(if at >= numbers_from { "<th class=n>" } else { "<th>" });
        heads.push_str(word);
    }
    heads
}

/// The invoice as a page.
pub fn html(invoice: &wire::Invoice, lang: PageLang) -> String {
    let (head, words) = (&invoice.summary, lang.words());
    let currency = escape(&head.currency);
    let mut jobs = String::new();
    for job in &invoice.jobs {
        let deadline = match job.deadline_met {
            Some(true) => words.met,
            Some(false) => words.missed,
            None => "–",
        };
        // Writing to a string cannot fail.
        let _ = write!(
            jobs,
            "<tr><td>{}<td>{}<td class=id>{}<td>{deadline}<td class=n>{}</tr>",
            escape(&job.name),
            escape(&job.project),
            escape(&job.job),
            job.amount
        );
    }
    let mut lines = String::new();
    for line in &invoice.lines {
        let _ = write!(
            lines,
            "<tr><td class=id>{}<td>{}<td>{}<td class=n>{}<td class=n>{}<td class=n>{}\
             <td class=n>{}<td class=n>{}<td class=n>{}</tr>",
            escape(&line.attempt),
            escape(&line.provider),
            second(&line.from),
            line.billed_s,
            line.core_s,
            line.gb_s,
            line.card_s,
            price(&line.price),
            line.amount
        );
    }
    let number = format!("{} ({})", escape(&head.id), escape((words.state)(&head.state)));
    let mut facts = String::new();
    for (name, value) in [
        (words.issuer, escape(&invoice.issuer)),
        (words.to, escape(&head.org)),
        (words.period, escape(&head.period)),
        (words.number, number),
    ] {
        let _ = write!(facts, "<dt>{name}<dd>{value}");
    }
    let total = format!(
        "<tr class=sum><td colspan={{}}>{}<td class=n>{} {currency}</tr>",
        words.total, head.total
    );
    format!(
        "<!doctype html><html lang={code}><meta charset=utf-8>\
         <meta name=viewport content=\"width=device-width\"><title>{title} {id}</title>\
         <style>{STYLE}</style><h1>{title}</h1><dl>{facts}</dl>\
         <p class=total>{total_word}: {amount} {currency}\
         <h2>{jobs_word}</h2><div><table><tr>{job_heads} ({currency})</tr>{jobs}{job_total}</table></div>\
         <h2>{lines_word}</h2><div><table><tr>{line_heads} ({currency})</tr>{lines}{line_total}</table></div>\
         <p class=note>{note}</html>",
        code = words.code,
        title = words.title,
        id = escape(&head.id),
        total_word = words.total,
        amount = head.total,
        jobs_word = words.jobs,
        job_heads = heads(&words.job_heads, 4),
        job_total = total.replace("{}", "4"),
        lines_word = words.lines,
        line_heads = heads(&words.line_heads, 3),
        line_total = total.replace("{}", "8"),
        note = words.note,
    )
}

const STYLE: &str = "body{font:15px/1.5 system-ui,'Noto Sans CJK SC',sans-serif;margin:2.5rem auto;\
    padding:0 1.2rem;max-width:76rem;color:#1a2330}h1{margin:0 0 1rem}\
    dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1.2rem;margin:0}\
    dt{color:#5b6573}dd{margin:0}.total{font-size:1.6rem;margin:1.2rem 0}\
    div{overflow-x:auto}table{border-collapse:collapse;width:100%;margin:.4rem 0 1.6rem}\
    th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #d9dee5;white-space:nowrap}\
    .n{text-align:right;font-variant-numeric:tabular-nums}.id{font:12px ui-monospace,monospace}\
    .sum td{font-weight:600;border-bottom:0}.note{color:#5b6573;font-size:13px}\
    @media print{body{margin:0;max-width:none;font-size:11px}tr{break-inside:avoid}}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_name_what_costs_and_the_share_of_it() {
        let of = |core: &str, gb: &str, permille| wire::LinePrice {
            core_hour: core.to_owned(),
            gb_hour: gb.to_owned(),
            card_hour: "0.00".to_owned(),
            permille,
            offer: String::new(),
        };
        assert_eq!(price(&of("0.36", "0.00", 1_000)), "0.36/core");
        assert_eq!(price(&of("0.36", "0.01", 600)), "0.36/core + 0.01/GB × 60.0%");
        assert_eq!(second("2026-11-23T18:15:35.419565Z"), "2026-11-23 18:15:35");
        assert_eq!(PageLang::of("zh-CN"), PageLang::Zh);
        assert_eq!(PageLang::of("fr"), PageLang::En);
    }
}
