//! Stands in for `rsync` and `vzdump` in crash tests and writes down, synced, what was done to the
//! world: `begin <pid> <effect key> <program arguments>` and, after a while, `end …`.
//!
//! `RAVE_WITNESS` is the file, `RAVE_WITNESS_MS` how long the effect takes. A word in the arguments
//! asks for more: `takes-<milliseconds>` instead of that time, `prints-<lines>`, `fails`.

#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a program of the tests that has nothing but its environment"
)]

use std::io::Write as _;
use std::time::Duration;

fn main() {
    let file = std::env::var("RAVE_WITNESS").expect("RAVE_WITNESS names a file");
    let key = std::env::var("RAVE_EFFECT_KEY").expect("children carry their effect key");
    let takes: u64 = std::env::var("RAVE_WITNESS_MS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let asked = |what: &str| -> Option<u64> {
        let words = arguments
            .iter()
            .flat_map(|argument| argument.split(['/', ' ']));
        words
            .filter_map(|word| word.strip_prefix(what))
            .find_map(|number| number.parse().ok())
    };
    let takes = asked("takes-").unwrap_or(takes);
    let write = |what: &str| {
        let line = format!(
            "{what} {} {key} {}\n",
            std::process::id(),
            arguments.join(" ")
        );
        let mut log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&file)
            .expect("the witness file can be opened");
        log.write_all(line.as_bytes())
            .expect("a line can be written");
        log.sync_data().expect("it reaches the disk");
    };
    write("begin");
    for line in 0..asked("prints-").unwrap_or(0) {
        println!("line {line} of what {key} printed");
    }
    std::thread::sleep(Duration::from_millis(takes));
    write("end");
    if arguments.iter().any(|argument| argument.contains("fails")) {
        std::process::exit(1);
    }
}
