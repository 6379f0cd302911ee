//! The budgets of Rave, measured on this machine: `make bench`.
//!
//! Every figure stands beside a baseline of the same run, taken in turn with it, so that the
//! ratio holds on other machines. Commits and fsyncs are counted in a pass of their own, because
//! counting fsyncs slows them down. Nothing here passes or fails.
//!
//! `cargo bench -p rave-tests --bench budgets -- chain slash` measures only these lines.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a benchmark prints and stops at the first surprise"
)]

mod acknowledgement;
mod approval;
mod catalog;
mod chain;
mod http;
mod in_flight;
mod noop;
mod policy;
mod process;
mod recovery;
mod report;
mod site;
mod slash;
mod startup;
mod timing;
mod waiting;

use report::Line;

/// Measures; one budget may give more than one line.
type Measure = fn() -> Vec<Line>;

/// What can be measured, by name.
const LINES: [(&str, Measure); 10] = [
    ("slash", slash::measure),
    ("acknowledgement", acknowledgement::measure),
    ("chain", chain::measure),
    ("in_flight", in_flight::measure),
    ("approval", approval::measure),
    ("recovery", recovery::measure),
    ("waiting", waiting::measure),
    ("policy", policy::measure),
    ("catalog", catalog::measure),
    ("startup", startup::measure),
];

fn main() {
    // Cargo adds options of its own, such as `--bench`.
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    for name in &wanted {
        assert!(
            LINES.iter().any(|(line, _)| line == name),
            "there is no line {name}; there are {}",
            LINES.map(|(line, _)| line).join(", ")
        );
    }
    println!(
        "Median (lowest–highest) of {} rounds, each beside its baseline of the same round.\n",
        timing::ROUNDS
    );
    let mut lines = Vec::new();
    for (name, measure) in LINES {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            for line in measure() {
                report::print(&line);
                lines.push(line);
            }
        }
    }
    report::print_table(&lines);
}
