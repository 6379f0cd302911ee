//! A large catalog: loading it, and planning a run of all of it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rave_catalog::{Catalog, source};
use rave_domain::people::{Account, Strength, Surface};
use rave_domain::ports::driver::Driver as _;
use rave_domain::request::RunRequest;
use rave_engine::api::Caller;

use crate::noop::Noop;
use crate::report::Line;
use crate::site::Site;
use crate::timing::{ROUNDS, median, millis, spread};

/// The budgets are about the larger; the smaller shows that the time grows with the size alone.
const SIZES: [u32; 2] = [5_000, 10_000];

/// What was measured at one size.
struct Figures {
    load: Vec<f64>,
    read: Vec<f64>,
    plan: Vec<f64>,
}

pub(crate) fn measure() -> Vec<Line> {
    let [small, large] = SIZES.map(measure_size);
    let growth = |small: &[f64], large: &[f64]| {
        format!(
            "twice the size takes {:.2} times as long",
            median(large) / median(small)
        )
    };
    vec![
        Line {
            what: "catalog of 10,000 intents, files on disk to a checked catalog",
            budget: "≤ 1 s, linear",
            figure: format!(
                "{} ms, of which reading the files takes {} ms",
                spread(&large.load, 0),
                spread(&large.read, 0)
            ),
            ratio: growth(&small.load, &large.load),
            written: String::new(),
        },
        Line {
            what: "plan of a 10,000-step graph, with all policy decisions",
            budget: "plan ≤ 50 ms, linear",
            figure: format!("{} ms", spread(&large.plan, 0)),
            ratio: growth(&small.plan, &large.plan),
            written: String::new(),
        },
    ]
}

fn measure_size(size: u32) -> Figures {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("intents"), size);
    let driver = Arc::new(Noop::new());
    let specs = driver.actions().into_iter();
    let actions = specs.map(|spec| (spec.name.clone(), spec)).collect();
    let mut figures = Figures {
        load: Vec::new(),
        read: Vec::new(),
        plan: Vec::new(),
    };
    for _ in 0..ROUNDS {
        let started = Instant::now();
        let files = source::read_dir(&dir.path().join("intents")).unwrap();
        figures.read.push(millis(started.elapsed()));
        let catalog = Catalog::load(&files, None, &actions, &rave_catalog::Settings::default());
        figures.load.push(millis(started.elapsed()));
        assert!(catalog.unwrap().len() >= size as usize);
    }
    let site = Site::start_in(dir.path(), driver);
    for _ in 0..ROUNDS {
        figures.plan.push(millis(plan(&site, size)));
    }
    site.close();
    figures
}

/// A chain, so that the graph is as deep as it is large, with a second way to everything.
fn write(intents: &Path, size: u32) {
    std::fs::create_dir_all(intents).unwrap();
    for n in 0..size {
        let needs = match n {
            0 => String::new(),
            n => format!("depends_on: [n{}, n{}]\n", n - 1, n / 2),
        };
        let text = format!("action: noop\nroles: [ops]\nwith: {{thing: thing-{n}}}\n{needs}");
        std::fs::write(intents.join(format!("n{n}.yaml")), text).unwrap();
    }
}

fn plan(site: &Site, size: u32) -> Duration {
    let account = Account::new(Surface::Mattermost, "u-ann");
    let caller = Caller {
        person: site.app.engine.person_of(&account).unwrap(),
        account,
        strength: Strength::Token,
        address: None,
        endpoint: None,
        place: None,
    };
    let last = format!("n{}", size - 1).parse().unwrap();
    let request = RunRequest::of(last);
    let started = Instant::now();
    let dry = site
        .server
        .block_on(site.app.engine.dry_run(&caller, &request));
    let took = started.elapsed();
    assert_eq!(dry.unwrap().plan.steps.len(), size as usize);
    took
}
