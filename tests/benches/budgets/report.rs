//! What is printed: one line per figure, and the table of docs/benchmarks.md.

/// One measured budget.
pub(crate) struct Line {
    /// What is measured, as design.md 12 has it.
    pub(crate) what: &'static str,
    /// The budget.
    pub(crate) budget: &'static str,
    /// The figure.
    pub(crate) figure: String,
    /// The figure beside its baseline of the same run.
    pub(crate) ratio: String,
    /// Commits and fsyncs, and per what. Empty where nothing is written.
    pub(crate) written: String,
}

/// Prints a line for people.
pub(crate) fn print(line: &Line) {
    println!("{}", line.what);
    println!("  budget    {}", line.budget);
    println!("  measured  {}", line.figure);
    for (name, text) in [("beside", &line.ratio), ("written", &line.written)] {
        if !text.is_empty() {
            println!("  {name:<9} {text}");
        }
    }
    println!();
}

/// Prints the rows of the table in docs/benchmarks.md.
pub(crate) fn print_table(lines: &[Line]) {
    println!("| what | budget | measured | beside its baseline | commits and fsyncs |");
    println!("|---|---|---|---|---|");
    for line in lines {
        println!(
            "| {} | {} | {} | {} | {} |",
            line.what, line.budget, line.figure, line.ratio, line.written
        );
    }
}
