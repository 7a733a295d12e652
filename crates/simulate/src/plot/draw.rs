//! Lays a sheet out: title, charts in rows, in each a legend, axes with ticks, and the marks.

use super::colour::{Shape, class, dashes, shape, style};
use super::scale::{Ruler, Tick};
use super::svg::{Page, Path, fitted, width};
use super::{Area, Chart, Marks, Point, Scale, Series, Sheet, Size, Tone};

/// As wide as a page of a report and most windows.
const SHEET_WIDTH: f64 = 1_200.0;
const MARGIN: f64 = 24.0;
const GAP: f64 = 28.0;
/// Of a chart's box, its title and legend included.
const CHART_HEIGHT: f64 = 340.0;
const TEXT: f64 = 12.0;
const LEGEND_ROW: f64 = 18.0;
/// From an axis to the near edge of its labels.
const LABEL_GAP: f64 = 7.0;
/// The stroke or box before a name in the legend.
const SAMPLE: f64 = 22.0;
/// From a name in the legend to the next sample.
const NAME_GAP: f64 = 10.0;
/// A tick for each so many pixels of an axis at most.
const TICK_ACROSS: f64 = 84.0;
/// Powers are few, and written short.
const POWER_ACROSS: f64 = 60.0;
const TICK_ALONG: f64 = 40.0;
/// Half of a dot.
const DOT: f64 = 4.5;

/// The whole picture.
pub fn sheet(sheet: &Sheet) -> String {
    let places = places(&sheet.charts);
    let body = places.iter().map(|(_, down, _)| down + CHART_HEIGHT).fold(60.0, f64::max);
    let height = body_top(sheet) + body + MARGIN;
    let mut page = Page::new(SHEET_WIDTH, height, &sheet.title, &style());
    let room = SHEET_WIDTH - 2.0 * MARGIN;
    page.text("h1", (MARGIN, MARGIN + 16.0), &fitted(&sheet.title, 20.0, room));
    if !sheet.note.is_empty() {
        page.text("q", (MARGIN, MARGIN + 37.0), &fitted(&sheet.note, TEXT, room));
    }
    let top = body_top(sheet);
    if places.is_empty() {
        page.text("q m", (SHEET_WIDTH / 2.0, top + 30.0), &fitted(&sheet.nothing, TEXT, room));
    }
    for (chart, (left, down, wide)) in sheet.charts.iter().zip(places) {
        let frame = Frame { left, top: top + down, wide };
        draw(&mut page, chart, &sheet.nothing, frame);
    }
    page.finish()
}

fn body_top(sheet: &Sheet) -> f64 {
    MARGIN + if sheet.note.is_empty() { 34.0 } else { 56.0 }
}

/// Left edge, distance from the body's top, and width of each chart.
fn places(charts: &[Chart]) -> Vec<(f64, f64, f64)> {
    let full = SHEET_WIDTH - 2.0 * MARGIN;
    let half = (full - GAP) / 2.0;
    let (mut down, mut second) = (0.0, false);
    let mut places = Vec::new();
    for chart in charts {
        let row = CHART_HEIGHT + GAP;
        match chart.size {
            Size::Half if second => {
                places.push((MARGIN + half + GAP, down, half));
                (down, second) = (down + row, false);
            }
            Size::Half => {
                places.push((MARGIN, down, half));
                second = true;
            }
            Size::Full => {
                if second {
                    down += row;
                }
                places.push((MARGIN, down, full));
                (down, second) = (down + row, false);
            }
        }
    }
    places
}

/// Where a chart stands.
#[derive(Clone, Copy)]
struct Frame {
    left: f64,
    top: f64,
    wide: f64,
}

/// Where the marks of a chart stand, and the values at its edges.
struct Field {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    x: Ruler,
    y: Ruler,
}

impl Field {
    fn across(&self, value: f64) -> f64 {
        self.left + self.x.part(value) * (self.right - self.left)
    }
    fn along(&self, value: f64) -> f64 {
        self.bottom - self.y.part(value) * (self.bottom - self.top)
    }
    fn place(&self, point: Point) -> (f64, f64) {
        (self.across(point.0), self.along(point.1))
    }
}

fn draw(page: &mut Page, chart: &Chart, nothing: &str, frame: Frame) {
    page.text("h2", (frame.left, frame.top + 13.0), &fitted(&chart.title, 14.0, frame.wide));
    let legend_bottom = legend(page, &chart.series, frame);
    let (top, bottom) = (legend_bottom + 10.0, frame.top + CHART_HEIGHT - 44.0);
    let y_ticks = ticks_in(bottom - top, TICK_ALONG);
    let y = Ruler::new(&chart.y, values(chart, |area| area.y)).rounded(&chart.y, y_ticks);
    let labels = labelled(&y, y_ticks);
    let widest = labels.iter().map(|tick| width(&tick.label, TEXT)).fold(0.0, f64::max);
    let left = frame.left + 20.0 + widest + LABEL_GAP;
    // The last label of the lower axis is centred on its end.
    let right = frame.left + frame.wide - 26.0;
    let x_ticks = ticks_in(right - left, each_across(chart));
    let x = Ruler::new(&chart.x, values(chart, |area| area.x));
    // A line may end at the edge; half of a dot would lie outside of it.
    let dotted = chart.series.iter().any(|series| matches!(series.marks, Marks::Dots(_)));
    let x = if dotted { x.rounded(&chart.x, x_ticks) } else { x };
    let field = Field { left, right, top, bottom, x, y };
    let empty = chart.series.iter().all(|series| spots(&series.marks).is_empty());
    if empty {
        axes(page, chart, &field, &[], &[], frame);
        let middle = (f64::midpoint(left, right), f64::midpoint(top, bottom));
        page.text("q m", middle, &fitted(nothing, TEXT, right - left));
        return;
    }
    let x_labels = labelled(&field.x, x_ticks);
    axes(page, chart, &field, &x_labels, &labels, frame);
    for series in chart.series.iter().rev() {
        marks(page, series, &field);
    }
}

const fn each_across(chart: &Chart) -> f64 {
    match chart.x.scale {
        Scale::Even => TICK_ACROSS,
        Scale::Log { .. } => POWER_ACROSS,
    }
}

/// Ticks whose labels leave room for the marks.
fn labelled(ruler: &Ruler, ticks_max: usize) -> Vec<Tick> {
    let short = |tick: Tick| Tick { label: fitted(&tick.label, TEXT, TICK_ACROSS), ..tick };
    ruler.ticks(ticks_max).into_iter().map(short).collect()
}

fn ticks_in(length: f64, each: f64) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a length of a sheet over one of a label: a small positive number"
    )]
    let count = (length / each).floor().max(2.0) as usize;
    count
}

/// All that is finite, as areas: a point is one without extent.
fn spots(marks: &Marks) -> Vec<Area> {
    let finite =
        |area: &Area| [area.x.0, area.x.1, area.y.0, area.y.1].into_iter().all(f64::is_finite);
    match marks {
        Marks::Line(points) | Marks::Steps(points) | Marks::Dots(points) => {
            let area = |(x, y): &Point| Area { x: (*x, *x), y: (*y, *y) };
            points.iter().map(area).filter(finite).collect()
        }
        Marks::Boxes(areas) => areas.iter().copied().filter(finite).collect(),
    }
}

fn values(chart: &Chart, of: fn(&Area) -> (f64, f64)) -> impl Iterator<Item = f64> {
    let areas = chart.series.iter().flat_map(|series| spots(&series.marks));
    areas.flat_map(move |area| <[f64; 2]>::from(of(&area)))
}

/// Names with what they look like, in rows; gives back where it ends.
fn legend(page: &mut Page, series: &[Series], frame: Frame) -> f64 {
    let (mut x, mut y) = (frame.left, frame.top + 32.0);
    let named = series.iter().filter(|series| !series.name.is_empty());
    let mut any = false;
    for one in named {
        let name = fitted(&one.name, TEXT, frame.wide - SAMPLE - 6.0);
        let wide = SAMPLE + 6.0 + width(&name, TEXT) + NAME_GAP;
        if any && x + wide - NAME_GAP > frame.left + frame.wide {
            (x, y) = (frame.left, y + LEGEND_ROW);
        }
        any = true;
        sample(page, one, (x, y - 4.0));
        page.text("q", (x + SAMPLE + 6.0, y), &name);
        x += wide;
    }
    if any { y } else { frame.top + 14.0 }
}

fn sample(page: &mut Page, series: &Series, (x, y): (f64, f64)) {
    let mut path = Path::default();
    match &series.marks {
        Marks::Line(_) | Marks::Steps(_) => {
            path.from((x, y));
            path.across(x + SAMPLE);
            page.path(&line_class(series.tone), dashes(series.tone), &path);
        }
        Marks::Dots(_) => {
            dot(&mut path, shape(series.tone), (x + SAMPLE / 2.0, y));
            page.path(&format!("f {}", class(series.tone)), "", &path);
        }
        Marks::Boxes(_) => {
            path.rect((x + 4.0, y - 5.0), (x + SAMPLE - 2.0, y + 5.0));
            page.path(&format!("f {}", class(series.tone)), "", &path);
        }
    }
}

fn line_class(tone: Tone) -> String {
    let weight = match tone {
        Tone::Own => " w",
        Tone::Beside(_) | Tone::Limit | Tone::Degree(_) => "",
    };
    format!("l{weight} {}", class(tone))
}

fn axes(
    page: &mut Page,
    chart: &Chart,
    field: &Field,
    x_labels: &[Tick],
    y_labels: &[Tick],
    frame: Frame,
) {
    let (left, right, top, bottom) = (field.left, field.right, field.top, field.bottom);
    let mut grid = Path::default();
    for tick in y_labels {
        let y = field.along(tick.value);
        grid.from((left, y));
        grid.across(right);
        page.text("q e", (left - LABEL_GAP, y + 4.0), &tick.label);
    }
    for tick in x_labels {
        let x = field.across(tick.value);
        grid.from((x, top));
        grid.along(bottom);
        page.text("q m", (x, bottom + 17.0), &tick.label);
    }
    page.path("g", "", &grid);
    let mut frame_lines = Path::default();
    frame_lines.from((left, top));
    frame_lines.along(bottom);
    frame_lines.across(right);
    page.path("a", "", &frame_lines);
    let x_title = fitted(&chart.x.title, TEXT, right - left);
    page.text("q m", (f64::midpoint(left, right), bottom + 37.0), &x_title);
    let y_title = fitted(&chart.y.title, TEXT, bottom - top + 40.0);
    page.text_up("q m", (frame.left + 11.0, f64::midpoint(top, bottom)), &y_title);
}

fn marks(page: &mut Page, series: &Series, field: &Field) {
    let mut path = Path::default();
    match &series.marks {
        Marks::Line(points) => {
            line(&mut path, points, field, Bend::Straight);
            page.path(&line_class(series.tone), dashes(series.tone), &path);
        }
        Marks::Steps(points) => {
            line(&mut path, points, field, Bend::Level);
            page.path(&line_class(series.tone), dashes(series.tone), &path);
        }
        Marks::Dots(_) => {
            for spot in spots(&series.marks) {
                dot(&mut path, shape(series.tone), field.place((spot.x.0, spot.y.0)));
            }
            page.path(&format!("f b {}", class(series.tone)), "", &path);
        }
        Marks::Boxes(_) => {
            for area in spots(&series.marks) {
                boxed(&mut path, area, field);
            }
            page.path(&format!("f b {}", class(series.tone)), "", &path);
        }
    }
}

/// How a line goes from point to point.
#[derive(Clone, Copy)]
enum Bend {
    Straight,
    Level,
}

/// Points nearer than this to the last one drawn are not seen beside it.
const NEAR: f64 = 0.4;

fn line(path: &mut Path, points: &[Point], field: &Field, bend: Bend) {
    let mut last: Option<(f64, f64)> = None;
    let mut skipped: Option<(f64, f64)> = None;
    for point in points {
        if !(point.0.is_finite() && point.1.is_finite()) {
            // A gap.
            (last, skipped) = (None, None);
            continue;
        }
        let place = field.place(*point);
        let Some(before) = last else {
            path.from(place);
            last = Some(place);
            continue;
        };
        if (place.0 - before.0).abs() < NEAR && (place.1 - before.1).abs() < NEAR {
            skipped = Some(place);
            continue;
        }
        bent(path, place, bend);
        (last, skipped) = (Some(place), None);
    }
    if let Some(end) = skipped {
        bent(path, end, bend);
    }
}

fn bent(path: &mut Path, to: (f64, f64), bend: Bend) {
    match bend {
        Bend::Straight => path.to(to),
        Bend::Level => {
            path.across(to.0);
            path.along(to.1);
        }
    }
}

fn boxed(path: &mut Path, area: Area, field: &Field) {
    let (x0, x1) = (area.x.0.min(area.x.1), area.x.0.max(area.x.1));
    let (y0, y1) = (area.y.0.min(area.y.1), area.y.0.max(area.y.1));
    if !(field.x.meets(x0, x1) && field.y.meets(y0, y1)) {
        return;
    }
    let (left, bottom) = field.place((x0, y0));
    let (right, top) = field.place((x1, y1));
    // Something short is still seen.
    let right = right.max((left + 0.6).min(field.right));
    path.rect((left, top), (right, bottom));
}

fn dot(path: &mut Path, shape: Shape, (x, y): (f64, f64)) {
    match shape {
        Shape::Disc => {
            // Eight corners look round at this size.
            let (far, near) = (DOT, DOT * 0.42);
            path.from((x - near, y - far));
            for corner in [
                (near, -far),
                (far, -near),
                (far, near),
                (near, far),
                (-near, far),
                (-far, near),
                (-far, -near),
            ] {
                path.to((x + corner.0, y + corner.1));
            }
            path.close();
        }
        Shape::Square => path.rect((x - DOT * 0.9, y - DOT * 0.9), (x + DOT * 0.9, y + DOT * 0.9)),
        Shape::Diamond => {
            path.from((x, y - DOT * 1.2));
            path.to((x + DOT * 1.2, y));
            path.to((x, y + DOT * 1.2));
            path.to((x - DOT * 1.2, y));
            path.close();
        }
        Shape::Triangle => {
            path.from((x, y - DOT * 1.1));
            path.to((x + DOT * 1.1, y + DOT * 0.9));
            path.to((x - DOT * 1.1, y + DOT * 0.9));
            path.close();
        }
    }
}
