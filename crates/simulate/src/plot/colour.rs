//! Colours, dashes and shapes, and the style sheet that holds them: one for light pages and one for
//! dark ones. Marks carry classes only.
//!
//! Series follow Okabe and Ito ("Color Universal Design", 2008), without their yellow, which is not
//! seen on white; the dark ones are theirs, lightened until each has a contrast of 4.5 or more with the
//! paper. Degrees run from light to dark, or on dark paper the other way, so that they keep their
//! order without colours.

use super::Tone;
use std::fmt::Write as _;

/// On light and on dark paper.
type Pair = (&'static str, &'static str);

const PAPER: Pair = ("#ffffff", "#15181c");
const INK: Pair = ("#1f2328", "#e6e8eb");
const FAINT_INK: Pair = ("#59636e", "#a3abb4");
const GRID: Pair = ("#e3e7eb", "#2c3238");
const AXIS: Pair = ("#8c959f", "#6b747d");
const LIMIT: Pair = ("#59636e", "#a3abb4");

const SERIES: [Pair; 8] = [
    ("#0072b2", "#56b4e9"),
    ("#d55e00", "#f28e4b"),
    ("#009e73", "#2fc795"),
    ("#b3568f", "#dd9cc4"),
    ("#a97400", "#f0c808"),
    ("#3a9bd1", "#9ad3f5"),
    ("#5b5ea6", "#a9acf0"),
    ("#7a6a58", "#c9b9a6"),
];

const DEGREES: [Pair; Tone::DEGREES] = [
    ("#d3dde6", "#2a3946"),
    ("#a9cbe3", "#3d6a8f"),
    ("#e6ab3f", "#b9852c"),
    ("#c8642c", "#f0975a"),
    ("#6e1f12", "#ffdccf"),
];

/// After the first, which is whole: a stroke of each and a gap.
const DASHES: [&str; 5] = ["", "7 3", "2 2.5", "9 3 2 3", "4 2"];

/// The class of a tone's colour.
pub fn class(tone: Tone) -> String {
    match tone {
        Tone::Own => "s0".to_owned(),
        Tone::Beside(nth) => format!("s{}", 1 + nth % (SERIES.len() - 1)),
        Tone::Limit => "lim".to_owned(),
        Tone::Degree(nth) => format!("d{}", nth.min(Tone::DEGREES - 1)),
    }
}

/// How lines of a tone are broken; empty for whole ones.
pub const fn dashes(tone: Tone) -> &'static str {
    match tone {
        // Those that share a colour are seven apart, and seven is no multiple of five.
        Tone::Beside(nth) => DASHES[nth % DASHES.len()],
        Tone::Limit => "5 4",
        Tone::Own | Tone::Degree(_) => "",
    }
}

/// The form of a tone's dots.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// A disc.
    Disc,
    /// A square.
    Square,
    /// On its corner.
    Diamond,
    /// A triangle.
    Triangle,
}

/// The form of a tone's dots.
pub const fn shape(tone: Tone) -> Shape {
    match tone {
        Tone::Own => Shape::Disc,
        Tone::Limit => Shape::Diamond,
        Tone::Beside(nth) | Tone::Degree(nth) => match nth % 4 {
            0 => Shape::Square,
            1 => Shape::Diamond,
            2 => Shape::Triangle,
            _ => Shape::Disc,
        },
    }
}

/// The whole style sheet.
pub fn style() -> String {
    let mut out = String::from(
        "text{font:12px system-ui,'Noto Sans','DejaVu Sans','Noto Sans CJK SC','PingFang SC',\
         'Microsoft YaHei','WenQuanYi Micro Hei',sans-serif}\
         .h1{font-size:20px;font-weight:600}.h2{font-size:14px;font-weight:600}\
         .m{text-anchor:middle}.e{text-anchor:end}\
         .l{fill:none;stroke-width:1.5;stroke-linejoin:round}.w{stroke-width:2.4}\
         .b{stroke-width:.4}",
    );
    out.push_str(&paints(|pair| pair.0));
    out.push_str("@media(prefers-color-scheme:dark){");
    out.push_str(&paints(|pair| pair.1));
    out.push('}');
    out
}

fn paints(of: fn(Pair) -> &'static str) -> String {
    let mut out = String::new();
    let mut rule = |text: std::fmt::Arguments<'_>| {
        out.write_fmt(text).expect("a text takes everything");
    };
    rule(format_args!(
        ".p{{fill:{}}}text{{fill:{}}}.q{{fill:{}}}",
        of(PAPER),
        of(INK),
        of(FAINT_INK)
    ));
    rule(format_args!(
        ".g{{stroke:{};fill:none}}.a{{stroke:{};fill:none}}.b{{stroke:{}}}",
        of(GRID),
        of(AXIS),
        of(PAPER)
    ));
    let mut both = |name: &str, colour: &str| {
        rule(format_args!(".l.{name}{{stroke:{colour}}}.f.{name}{{fill:{colour}}}"));
    };
    for (nth, pair) in SERIES.iter().enumerate() {
        both(&format!("s{nth}"), of(*pair));
    }
    for (nth, pair) in DEGREES.iter().enumerate() {
        both(&format!("d{nth}"), of(*pair));
    }
    both("lim", of(LIMIT));
    out
}
