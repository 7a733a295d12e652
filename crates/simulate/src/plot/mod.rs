//! Pictures of runs, as SVG: lines, steps, dots and boxes over two axes, several charts on a sheet.
//!
//! Whoever has figures fills a [`Sheet`]; [`Sheet::svg`] gives the text. Invariant: the same sheet
//! gives the same bytes; the text is well-formed XML whatever the titles hold, and nothing lies
//! outside its view box; a chart without data says so in words. All words come from the caller, in
//! whichever language. It must not know what a job or a pod is, and opens no file.
//!
//! It is our own thousand lines because the library at hand (plotters) writes a fixed colour into
//! each mark, so that a picture cannot follow a dark page; draws on whole pixels, an element for each
//! box; and measures text with fonts that it looks for on the machine, or without regard to scripts
//! whose signs are wide.

mod colour;
mod draw;
mod runs;
mod scale;
mod stats;
mod svg;

pub(crate) use runs::FreeRuns;
pub(crate) use stats::rising;
pub use stats::{cdf, histogram};

/// A place by the values of both axes. What is not finite is not drawn.
pub type Point = (f64, f64);

/// One picture.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Sheet {
    /// Stands above all.
    pub title: String,
    /// Stands below the title, smaller; may be empty.
    pub note: String,
    /// What a chart without data says.
    pub nothing: String,
    /// From left to right and from above.
    pub charts: Vec<Chart>,
}

/// Two axes and what is drawn over them.
#[derive(Clone, PartialEq, Debug)]
pub struct Chart {
    /// What is seen.
    pub title: String,
    /// From left to right.
    pub x: Axis,
    /// From below.
    pub y: Axis,
    /// The first one is drawn last, on top of the others, and stands first in the legend.
    pub series: Vec<Series>,
    /// How much of the sheet it takes.
    pub size: Size,
}

/// How much of a sheet a chart takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Size {
    /// Half of the width: two such stand side by side.
    Half,
    /// All of the width.
    Full,
}

/// One axis.
#[derive(Clone, PartialEq, Debug)]
pub struct Axis {
    /// What it counts.
    pub title: String,
    /// How values become places.
    pub scale: Scale,
    /// How values are written.
    pub unit: Unit,
    /// From where to where.
    pub reach: Reach,
}

impl Axis {
    /// Even, from the least to the greatest value there is.
    pub fn new(title: impl Into<String>, unit: Unit) -> Self {
        Self { title: title.into(), scale: Scale::Even, unit, reach: Reach::Data }
    }

    /// With another reach.
    #[must_use]
    pub const fn reaching(mut self, reach: Reach) -> Self {
        self.reach = reach;
        self
    }

    /// By powers of ten from `least` on.
    #[must_use]
    pub const fn log(mut self, least: f64) -> Self {
        self.scale = Scale::Log { least };
        self
    }
}

/// How values become places.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Scale {
    /// Equal steps, equal distances.
    Even,
    /// Equal factors, equal distances. What is below `least`, which is above zero, stands there.
    Log {
        /// Where the axis begins.
        least: f64,
    },
}

/// How values are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// As they are.
    Number,
    /// With a per cent sign: 50 is 50 %.
    Percent,
    /// Seconds, written in seconds, minutes, hours or days.
    Seconds,
}

/// From where to where an axis goes.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Reach {
    /// Over the data.
    Data,
    /// Over the data, and to zero.
    FromZero,
    /// From one value to another; what lies outside is cut.
    Between(f64, f64),
}

/// What is drawn of one thing.
#[derive(Clone, PartialEq, Debug)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// How it is told from the others.
    pub tone: Tone,
    /// Where it is.
    pub marks: Marks,
}

/// Where a series is.
#[derive(Clone, PartialEq, Debug)]
pub enum Marks {
    /// Straight from point to point.
    Line(Vec<Point>),
    /// Level from each point to the next one's x, and then up or down.
    Steps(Vec<Point>),
    /// Each point by itself.
    Dots(Vec<Point>),
    /// Filled boxes: bars of a histogram, jobs over time.
    Boxes(Vec<Area>),
}

/// A filled box.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Area {
    /// From left to right.
    pub x: (f64, f64),
    /// From below.
    pub y: (f64, f64),
}

/// How a series is told from the others: by colours that are also told apart by those who see
/// fewer of them, and beside that by dashes and shapes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tone {
    /// What the picture is about.
    Own,
    /// What it is compared with, counted from 0.
    Beside(usize),
    /// What nothing can pass.
    Limit,
    /// So much of something, from 0 (little) to [`Tone::DEGREES`] − 1.
    Degree(usize),
}

impl Tone {
    /// How many degrees can be told apart.
    pub const DEGREES: usize = 5;
}

impl Sheet {
    /// The picture as text.
    pub fn svg(&self) -> String {
        draw::sheet(self)
    }
}
