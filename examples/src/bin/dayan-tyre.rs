//! `dayan-tyre`: makes an X-ray picture of a tyre, inspects it, answers in JSON.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use dayan_examples::args::{Given, Opt, Usage, main_with};
use dayan_examples::json::Json;
use dayan_examples::place::Place;
use dayan_examples::tyre::{Defect, Kind, Settings, inspect, make, score};

const USAGE: Usage = Usage {
    program: "dayan-tyre",
    about: "Inspects X-ray pictures of tyres. A picture is drawn from its seed (there is no\n\
            public stream of real ones), the inspector sees grey values only. Answers one JSON\n\
            line per picture: {\"verdict\",\"defects\":[{\"kind\",\"x\",\"y\",\"size\"}],\"ms\",\"seed\",\"image\"}\n\
            and writes the picture with its findings marked.",
    words: "",
    options: &[
        Opt {
            name: "seeds",
            value: "A-B",
            help: "pictures to inspect (default: the array's, or 1)",
        },
        Opt { name: "out", value: "DIR", help: "folder for tyre_NNNN.png (default out)" },
        Opt { name: "score", value: "N", help: "no pictures: precision and recall over N seeds" },
        Opt { name: "truth", value: "", help: "add what was really drawn to the answer" },
    ],
    environment: &[("DAYAN_ARRAY_FIRST/LAST/STEP", "pictures of this task")],
};

fn main() -> ExitCode {
    main_with(&USAGE, work)
}

fn work(given: &Given) -> anyhow::Result<()> {
    let settings = Settings::default();
    if given.has("score") {
        let count = given.number("score", 0, 1, 100_000)?;
        // Seeds that nobody looked at while the levels of the inspector were set.
        let score = score(70_000_000, count, &settings);
        let kinds = Kind::ALL
            .iter()
            .zip(score.by_kind)
            .map(|(kind, (drawn, found))| {
                let counts =
                    Json::object([("drawn", Json::count(drawn)), ("found", Json::count(found))]);
                (kind.name().to_owned(), counts)
            })
            .collect();
        let right = score.verdicts_right as f64 / score.pictures.max(1) as f64;
        let report = Json::object([
            ("pictures", Json::count(score.pictures)),
            ("precision", rounded(score.precision(), 4)),
            ("recall", rounded(score.recall(), 4)),
            ("verdicts_right", rounded(right, 4)),
            ("wrong_findings", Json::count(score.wrong)),
            ("kinds", Json::Object(kinds)),
        ]);
        println!("{report}");
        return Ok(());
    }
    let folder = Path::new(given.text("out").unwrap_or("out"));
    for seed in Place::of_this_process()?.elements(given, "seeds", (1, 1))? {
        #[expect(clippy::disallowed_methods, reason = "the answer says how long it took")]
        let began = Instant::now();
        let (picture, truth) = make(seed);
        let report = inspect(&picture, &settings);
        let path = folder.join(format!("tyre_{seed:04}.png"));
        picture.marked(&report.defects).save(&path)?;
        let ms = began.elapsed().as_secs_f64() * 1_000.0;
        let verdict = if report.defects.is_empty() { "good" } else { "reject" };
        let mut pairs = vec![
            ("verdict".to_owned(), Json::text(verdict)),
            ("defects".to_owned(), Json::List(report.defects.iter().map(defect).collect())),
            ("ms".to_owned(), rounded(ms, 1)),
            ("seed".to_owned(), Json::Number(seed as f64)),
            ("period".to_owned(), rounded(f64::from(report.period), 2)),
            ("image".to_owned(), Json::text(path.display().to_string())),
        ];
        if given.has("truth") {
            let drawn = truth.defect.as_ref().map_or(Json::Null, defect);
            pairs.push(("truth".to_owned(), drawn));
        }
        println!("{}", Json::Object(pairs));
    }
    Ok(())
}

fn defect(defect: &Defect) -> Json {
    Json::object([
        ("kind", Json::text(defect.kind.name())),
        ("x", rounded(f64::from(defect.x), 1)),
        ("y", rounded(f64::from(defect.y), 1)),
        ("size", rounded(f64::from(defect.size), 1)),
    ])
}

fn rounded(value: f64, digits: i32) -> Json {
    let scale = 10f64.powi(digits);
    Json::Number((value * scale).round() / scale)
}
