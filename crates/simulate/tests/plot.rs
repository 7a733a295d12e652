//! Pictures from outside: well-formed whatever they hold, inside their view box, the same for the
//! same figures, and honest where there is nothing to draw.

use dayan_simulate::hpc::{
    self, Backfill, Discipline, HpcJob, HpcPolicy, HpcWords, LinesRead, Replayed, Rule, Window,
    Workload,
};
use dayan_simulate::pack::{Curve, PackWords};
use dayan_simulate::plot::{
    Area, Axis, Chart, Marks, Reach, Series, Sheet, Size, Tone, Unit, cdf, histogram,
};
use proptest::prelude::*;

/// Every coordinate of a picture, with the element it stands in.
fn coordinates(svg: &str) -> Vec<(String, f64, f64)> {
    let document = roxmltree::Document::parse(svg).expect("well-formed XML");
    let mut found = Vec::new();
    for node in document.descendants().filter(roxmltree::Node::is_element) {
        let name = node.tag_name().name();
        let number = |key: &str| node.attribute(key).map(|text| text.parse().expect("a number"));
        let at = |x: f64, y: f64| (name.to_owned(), x, y);
        if let (Some(x), Some(y)) = (number("x"), number("y")) {
            let (wide, high): (f64, f64) =
                (number("width").unwrap_or(0.0), number("height").unwrap_or(0.0));
            found.extend([at(x, y), at(x + wide, y + high)]);
        }
        if let Some(path) = node.attribute("d") {
            found.extend(path_places(path).into_iter().map(|(x, y)| at(x, y)));
        }
    }
    found
}

/// The places that a path of M, L, H, V and Z goes through.
fn path_places(path: &str) -> Vec<(f64, f64)> {
    let (mut x, mut y) = (0.0, 0.0);
    let mut places = Vec::new();
    let commands = path.split_inclusive(|sign: char| sign.is_ascii_alphabetic());
    let mut letters = path.chars().filter(char::is_ascii_alphabetic);
    // What stands between two letters belongs to the first of them.
    for part in commands.skip(1) {
        let letter = letters.next().expect("one for each part");
        let part = part.trim_end_matches(|sign: char| sign.is_ascii_alphabetic());
        let values: Vec<f64> =
            part.split_whitespace().map(|text| text.parse().expect("a number")).collect();
        match (letter, values.as_slice()) {
            ('M' | 'L', [to_x, to_y]) => (x, y) = (*to_x, *to_y),
            ('H', [to]) => x = *to,
            ('V', [to]) => y = *to,
            ('Z', []) => {}
            other => panic!("{other:?} in {path}"),
        }
        places.push((x, y));
    }
    assert!(matches!(letters.next(), None | Some('Z')), "{path}");
    places
}

/// Checks what holds of every picture; gives its words.
fn check(sheet: &Sheet) -> Vec<String> {
    let svg = sheet.svg();
    assert_eq!(svg, sheet.svg(), "the same sheet, the same bytes");
    let document = roxmltree::Document::parse(&svg).expect("well-formed XML");
    let view = document.root_element().attribute("viewBox").expect("a view box");
    let view: Vec<f64> = view.split(' ').map(|text| text.parse().expect("a number")).collect();
    for (element, x, y) in coordinates(&svg) {
        assert!((0.0..=view[2]).contains(&x), "{element}: x is {x} of {}", view[2]);
        assert!((0.0..=view[3]).contains(&y), "{element}: y is {y} of {}", view[3]);
    }
    let texts = document.descendants().filter(|node| node.has_tag_name("text"));
    texts.filter_map(|node| node.text().map(str::to_owned)).collect()
}

fn chart(series: Vec<Series>) -> Chart {
    Chart {
        title: "waits".to_owned(),
        x: Axis::new("wait", Unit::Seconds).log(1.0),
        y: Axis::new("share", Unit::Percent).reaching(Reach::FromZero),
        series,
        size: Size::Half,
    }
}

fn series(name: &str, tone: Tone, marks: Marks) -> Series {
    Series { name: name.to_owned(), tone, marks }
}

fn sheet(charts: Vec<Chart>) -> Sheet {
    let nothing = "nothing to draw".to_owned();
    Sheet { title: "a title".to_owned(), note: "a note".to_owned(), nothing, charts }
}

#[test]
fn charts_without_data_say_so_in_words() {
    let says =
        |sheet: &Sheet| check(sheet).iter().filter(|text| *text == "nothing to draw").count();
    assert_eq!(says(&sheet(Vec::new())), 1, "no chart at all");
    let none = chart(vec![series("own", Tone::Own, Marks::Steps(Vec::new()))]);
    let not_finite = chart(vec![series("own", Tone::Own, Marks::Line(vec![(f64::NAN, 1.0)]))]);
    assert_eq!(says(&sheet(vec![none.clone(), not_finite])), 2);
    let some = chart(vec![series("own", Tone::Own, Marks::Dots(vec![(3.0, 4.0)]))]);
    assert_eq!(says(&sheet(vec![none, some])), 1);
}

#[test]
fn words_of_all_kinds_arrive_as_they_are_and_long_ones_are_cut() {
    let long = "等待时间".repeat(60);
    let mut sheet = sheet(vec![chart(vec![
        series("a<b> & \"c\" 'd' ]]>", Tone::Own, Marks::Line(vec![(1.0, 1.0), (90.0, 3.0)])),
        series(&long, Tone::Limit, Marks::Line(vec![(1.0, 2.0), (90.0, 2.0)])),
    ])]);
    sheet.title = "算力 <script>alert(1)</script>".to_owned();
    let words = check(&sheet);
    assert!(words.contains(&"算力 <script>alert(1)</script>".to_owned()), "{words:?}");
    assert!(words.contains(&"a<b> & \"c\" 'd' ]]>".to_owned()), "{words:?}");
    let cut = words.iter().find(|text| text.starts_with("等待")).expect("the long name");
    assert!(cut.ends_with('…') && cut.chars().count() < 60, "{cut}");
}

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => -10.0..1e6,
        1 => Just(0.0),
        1 => prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(-1e300), Just(1e300)],
    ]
}

fn any_marks() -> impl Strategy<Value = Marks> {
    let points = || proptest::collection::vec((any_value(), any_value()), 0..20);
    let area = |((a, b), (c, d))| Area { x: (a, b), y: (c, d) };
    let areas = proptest::collection::vec(
        ((any_value(), any_value()), (any_value(), any_value())).prop_map(area),
        0..20,
    );
    prop_oneof![
        points().prop_map(Marks::Line),
        points().prop_map(Marks::Steps),
        points().prop_map(Marks::Dots),
        areas.prop_map(Marks::Boxes),
    ]
}

fn any_axis() -> impl Strategy<Value = Axis> {
    let unit = prop_oneof![Just(Unit::Number), Just(Unit::Percent), Just(Unit::Seconds)];
    let reach = prop_oneof![
        Just(Reach::Data),
        Just(Reach::FromZero),
        (any_value(), any_value())
            .prop_filter("an end", |ends| ends.0.is_finite() && ends.1.is_finite())
            .prop_map(|(from, to)| Reach::Between(from, to)),
    ];
    let axis = |(unit, reach, log, least): (Unit, Reach, bool, f64)| {
        let axis = Axis::new("an axis", unit).reaching(reach);
        if log { axis.log(least) } else { axis }
    };
    (unit, reach, any::<bool>(), 0.01..100.0).prop_map(axis)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_drawn_lies_within(
        marks in proptest::collection::vec(any_marks(), 0..9),
        x in any_axis(),
        y in any_axis(),
        full in any::<bool>(),
    ) {
        let tone = |nth: usize| match nth {
            0 => Tone::Own,
            1 => Tone::Limit,
            2 => Tone::Degree(9),
            nth => Tone::Beside(nth * 5),
        };
        let all = marks.into_iter().enumerate();
        let all = all.map(|(nth, marks)| series(&format!("series {nth}"), tone(nth), marks));
        let size = if full { Size::Full } else { Size::Half };
        let chart = Chart { x, y, size, ..chart(all.collect()) };
        check(&sheet(vec![chart.clone(), chart]));
    }
}

#[test]
fn bars_and_shares_are_drawn_where_they_belong() {
    let waits = [0.0, 5.0, 5.0, 400.0];
    let shares = chart(vec![series("own", Tone::Own, Marks::Steps(cdf(&waits)))]);
    let bars = Chart {
        x: Axis::new("wait", Unit::Seconds),
        y: Axis::new("jobs", Unit::Number).reaching(Reach::FromZero),
        ..chart(vec![series("own", Tone::Own, Marks::Boxes(histogram(&waits, 4)))])
    };
    let words = check(&sheet(vec![shares, bars]));
    for tick in ["≤ 1 s", "10 s", "1 min", "100 %"] {
        assert!(words.contains(&tick.to_owned()), "{tick} in {words:?}");
    }
}

/// Forty jobs that come every minute and do not all fit.
fn workload() -> Workload {
    let job = |n: i64| HpcJob {
        id: n,
        submit: n * 60,
        run: 300 + n % 7 * 200,
        width: 1 + n % 5,
        limit: 3_600,
        user: n % 3,
        group: 1,
        program: 1,
    };
    Workload {
        machine: 8,
        windows: vec![Window { start: 0, jobs: (0..40).map(job).collect() }],
        lines: LinesRead::default(),
    }
}

fn hpc_words() -> HpcWords {
    let word = |text: &str| text.to_owned();
    HpcWords {
        title: word("a log"),
        note: word("forty jobs"),
        nothing: word("nothing to draw"),
        utilisation: word("use"),
        waits: word("waits"),
        jobs: word("jobs"),
        time: word("time"),
        used: word("used"),
        wait: word("wait"),
        share: word("share"),
        processors: word("processors"),
        waited: ["1", "2", "3", "4", "5"].map(|degree| format!("degree {degree}")),
    }
}

#[test]
fn a_replay_is_drawn_job_by_job() {
    let workload = workload();
    let easy = Discipline::Event(Backfill::Easy);
    let own = hpc::starts(&workload, HpcPolicy::Default, easy);
    let beside = hpc::starts(&workload, HpcPolicy::Rule(Rule::Fcfs), easy);
    let replays =
        [Replayed { name: "default", starts: &own }, Replayed { name: "fcfs", starts: &beside }];
    let sheet = hpc::picture(&workload, &replays, &hpc_words());
    check(&sheet);
    assert_eq!(sheet.charts.len(), 4, "use, waits, and jobs of each");
    // No two jobs are drawn over each other, and all their work is there.
    let areas = |chart: &Chart| -> Vec<Area> {
        let boxes = chart.series.iter().filter_map(|series| match &series.marks {
            Marks::Boxes(areas) => Some(areas.clone()),
            Marks::Line(_) | Marks::Steps(_) | Marks::Dots(_) => None,
        });
        boxes.flatten().collect()
    };
    let work: i64 = workload.windows[0].jobs.iter().map(|job| job.width * job.run).sum();
    for chart in &sheet.charts[2..] {
        let areas = areas(chart);
        let drawn: f64 = areas.iter().map(|a| (a.x.1 - a.x.0) * (a.y.1 - a.y.0)).sum();
        assert!((drawn - work as f64).abs() < 1e-6, "{drawn} of {work}");
        for (nth, one) in areas.iter().enumerate() {
            for other in &areas[..nth] {
                let apart =
                    |one: (f64, f64), other: (f64, f64)| one.1 <= other.0 || other.1 <= one.0;
                assert!(apart(one.x, other.x) || apart(one.y, other.y), "{one:?} {other:?}");
            }
        }
    }
    let empty = Workload { machine: 8, windows: Vec::new(), lines: LinesRead::default() };
    let words = check(&hpc::picture(&empty, &replays[..0], &hpc_words()));
    assert_eq!(words.iter().filter(|text| *text == "nothing to draw").count(), 2);
}

#[test]
fn packing_is_drawn_with_its_bound() {
    let word = |text: &str| text.to_owned();
    let words = PackWords {
        title: word("pods"),
        note: word("means"),
        nothing: word("nothing to draw"),
        whole: word("all"),
        end: word("the end"),
        arrived: word("arrived"),
        at_work: word("at work"),
        bound: word("at most"),
    };
    let ours = Curve {
        at_work: (0..=130).map(|n| (f64::from(n), f64::from(n).min(95.0))).collect(),
        bound: Some(
            (0..=26).map(|n| (f64::from(n) * 5.0, (f64::from(n) * 5.0).min(97.0))).collect(),
        ),
    };
    let seen = check(&dayan_simulate::pack::picture(&[("default", &ours)], &words));
    assert_eq!(seen.iter().filter(|text| *text == "at most").count(), 2, "{seen:?}");
    assert!(seen.contains(&"130 %".to_owned()) || seen.contains(&"120 %".to_owned()), "{seen:?}");
}
