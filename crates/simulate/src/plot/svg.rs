//! Writing SVG: escaped text, short numbers, paths, and how wide a text is about.

use std::fmt::Write as _;

/// Text as XML may hold it: the five signs escaped, what XML forbids replaced.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\r' | '\t' => out.push(' '),
            '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => {
                out.push('\u{fffd}');
            }
            sign => out.push(sign),
        }
    }
    out
}

/// A coordinate to a hundredth, without zeros that say nothing.
pub fn number(value: f64) -> String {
    let rounded = (value * 100.0).round() / 100.0;
    // Minus zero would be another text for the same place.
    let rounded = if rounded == 0.0 { 0.0 } else { rounded };
    format!("{rounded}")
}

/// About how wide a text is, in a font of this size. Exact widths depend on the reader's fonts;
/// ours errs to the wide side.
pub fn width(text: &str, size: f64) -> f64 {
    let ems: f64 = text.chars().map(ems).sum();
    ems * size
}

fn ems(sign: char) -> f64 {
    match sign {
        'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | ';' | '|' | '\'' | '!' | ' ' => 0.34,
        'm' | 'w' | 'M' | 'W' | '%' | '@' => 0.95,
        'A'..='Z' => 0.70,
        // Scripts whose signs fill a square.
        '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}' => 1.0,
        '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' => 1.0,
        '\u{20000}'..='\u{3fffd}' | '\u{1f300}'..='\u{1faff}' => 1.0,
        _ => 0.60,
    }
}

/// As much of a text as fits, with a sign that some is missing.
pub fn fitted(text: &str, size: f64, room: f64) -> String {
    if width(text, size) <= room {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut taken = ems('…') * size;
    for sign in text.chars() {
        taken += ems(sign) * size;
        if taken > room {
            break;
        }
        out.push(sign);
    }
    out.push('…');
    out
}

/// A document under way.
#[derive(Debug)]
pub struct Page {
    out: String,
}

impl Page {
    /// Of a size, with its title for those who do not see it.
    pub fn new(width: f64, height: f64, title: &str, style: &str) -> Self {
        let (width, height, title) = (number(width), number(height), escaped(title));
        let out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\">\n<title>{title}</title>\n\
             <style>{style}</style>\n<rect class=\"p\" x=\"0\" y=\"0\" width=\"{width}\" \
             height=\"{height}\"/>\n",
        );
        Self { out }
    }

    /// The whole text.
    pub fn finish(mut self) -> String {
        self.out.push_str("</svg>\n");
        self.out
    }

    /// Words at a place.
    pub fn text(&mut self, class: &str, (x, y): (f64, f64), words: &str) {
        let (x, y) = (number(x), number(y));
        let words = escaped(words);
        self.put(format_args!("<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{words}</text>\n"));
    }

    /// Words at a place, read from below.
    pub fn text_up(&mut self, class: &str, (x, y): (f64, f64), words: &str) {
        let (x, y) = (number(x), number(y));
        let words = escaped(words);
        self.put(format_args!(
            "<text class=\"{class}\" x=\"{x}\" y=\"{y}\" transform=\"rotate(-90 {x} {y})\">{words}</text>\n"
        ));
    }

    /// A path; nothing for an empty one.
    pub fn path(&mut self, class: &str, dashes: &str, path: &Path) {
        if path.0.is_empty() {
            return;
        }
        let dashes = match dashes {
            "" => String::new(),
            some => format!(" stroke-dasharray=\"{some}\""),
        };
        self.put(format_args!("<path class=\"{class}\"{dashes} d=\"{}\"/>\n", path.0));
    }

    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        self.out.write_fmt(text).expect("a text takes everything");
    }
}

/// Strokes and outlines, in absolute coordinates.
#[derive(Clone, Debug, Default)]
pub struct Path(String);

impl Path {
    /// Begins at a place.
    pub fn from(&mut self, (x, y): (f64, f64)) {
        self.put(format_args!("M{} {}", number(x), number(y)));
    }
    /// Straight on to a place.
    pub fn to(&mut self, (x, y): (f64, f64)) {
        self.put(format_args!("L{} {}", number(x), number(y)));
    }
    /// Level.
    pub fn across(&mut self, x: f64) {
        self.put(format_args!("H{}", number(x)));
    }
    /// Up or down.
    pub fn along(&mut self, y: f64) {
        self.put(format_args!("V{}", number(y)));
    }
    /// Back to where it began.
    pub fn close(&mut self) {
        self.0.push('Z');
    }
    /// A box by two of its corners.
    pub fn rect(&mut self, (left, top): (f64, f64), (right, bottom): (f64, f64)) {
        self.from((left, top));
        self.across(right);
        self.along(bottom);
        self.across(left);
        self.close();
    }

    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        self.0.write_fmt(text).expect("a text takes everything");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_and_cut_and_numbers_are_short() {
        assert_eq!(escaped("a<b & \"c\"\u{7}\n'"), "a&lt;b &amp; &quot;c&quot;\u{fffd} &#39;");
        let check = |value: f64, expect: &str| assert_eq!(number(value), expect);
        check(1.0, "1");
        check(-0.001, "0");
        check(12.345_6, "12.35");
        assert_eq!(fitted("short", 12.0, 100.0), "short");
        let cut = fitted(&"算力".repeat(40), 12.0, 100.0);
        assert!(cut.ends_with('…') && width(&cut, 12.0) <= 100.0, "{cut}");
    }
}
