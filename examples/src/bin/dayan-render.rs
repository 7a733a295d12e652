//! `dayan-render`: frames of a film shot as PNG files.

use std::path::Path;
use std::process::ExitCode;

use dayan_examples::args::{Given, Opt, Usage, main_with};
use dayan_examples::place::Place;
use dayan_examples::render::{Finish, Land, Shot, render};

const USAGE: Usage = Usage {
    program: "dayan-render",
    about: "Renders frames of a shot (dusk over a lake in Guizhou) with a path tracer and writes\n\
            frame_0001.png, frame_0002.png, … A frame depends on its number, size, samples and\n\
            seed only, so any division of the range among tasks gives the same film.",
    words: "",
    options: &[
        Opt {
            name: "frames",
            value: "A-B[:STEP]",
            help: "frames to render (default: the array's, or 1)",
        },
        Opt { name: "shot-frames", value: "N", help: "frames in the whole shot (default 48)" },
        Opt { name: "size", value: "WxH", help: "picture size, sides 16..4096 (default 384x160)" },
        Opt { name: "samples", value: "N", help: "rays per pixel, 1..4096 (default 8)" },
        Opt { name: "raw", value: "", help: "no denoising" },
        Opt { name: "seed", value: "N", help: "seed (default 1)" },
        Opt {
            name: "threads",
            value: "N",
            help: "threads (default: DAYAN_CPUS rounded down, or 1)",
        },
        Opt { name: "out", value: "DIR", help: "folder for the frames (default out)" },
    ],
    environment: &[
        ("DAYAN_ARRAY_FIRST/LAST/STEP", "frames of this task"),
        ("DAYAN_CPUS", "cores this task may use"),
    ],
};

fn main() -> ExitCode {
    main_with(&USAGE, work)
}

fn work(given: &Given) -> anyhow::Result<()> {
    let place = Place::of_this_process()?;
    let default = Shot::default();
    let (width, height) = given.size("size", (default.width, default.height), 16, 4096)?;
    let shot = Shot {
        width,
        height,
        samples: given.number("samples", default.samples, 1, 4096)?,
        frames: given.number("shot-frames", default.frames, 1, 1_000_000)?,
        seed: given.number("seed", default.seed, 0, u64::MAX)?,
        threads: place.threads(given)?,
        finish: if given.has("raw") { Finish::Raw } else { Finish::Denoised },
    };
    let frames = place.elements(given, "frames", (1, 1))?;
    let folder = Path::new(given.text("out").unwrap_or("out"));
    let land = Land::new(shot.seed);
    for frame in frames {
        let path = folder.join(format!("frame_{frame:04}.png"));
        render(&land, &shot, frame).save(&path)?;
        println!("{}", path.display());
    }
    Ok(())
}
