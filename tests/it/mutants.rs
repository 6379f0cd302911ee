//! The list of mutants is not stale: each patch fits the code, names a test that is there, and
//! stands in docs/mutants.md. That each is caught is shown by `tests/mutants/run`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Name and text of each patch.
fn patches() -> Vec<(String, String)> {
    let files = std::fs::read_dir(root().join("tests/mutants")).unwrap();
    let mut patches: Vec<(String, String)> = files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter_map(|file| file.strip_suffix(".patch").map(str::to_owned))
        .map(|name| {
            let text = read(format!("tests/mutants/{name}.patch"));
            (name, text)
        })
        .collect();
    patches.sort();
    patches
}

/// What each hunk expects to find, by file.
fn expectations(patch: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut file = None;
    for line in patch.lines() {
        if let Some(path) = line.strip_prefix("+++ b/") {
            file = Some(path.to_owned());
        } else if let (true, Some(file)) = (line.starts_with("@@ "), &file) {
            found.push((file.clone(), String::new()));
        } else if let Some((_, expected)) = found.last_mut()
            && let Some(kept) = line.strip_prefix([' ', '-'])
            && !line.starts_with("--- ")
        {
            expected.push_str(kept);
            expected.push('\n');
        }
    }
    found
}

#[test]
fn every_mutant_fits_the_code() {
    for (name, patch) in patches() {
        let expectations = expectations(&patch);
        assert!(!expectations.is_empty(), "{name} changes nothing");
        for (file, expected) in expectations {
            let count = read(&file).matches(&expected).count();
            assert_eq!(count, 1, "{name} does not fit {file}:\n{expected}");
        }
        let guard = format!("mutant(\"{name}\")");
        assert!(patch.contains(&guard), "{name} does not ask {guard}");
    }
}

#[test]
fn every_mutant_says_what_it_breaks_and_who_catches_it() {
    const SUITES: [&str; 5] = ["domain", "store", "it", "proof", "simulation"];
    for (name, patch) in patches() {
        assert!(patch.starts_with("Breaks "), "{name} breaks what?");
        let mut tests = patch
            .lines()
            .filter_map(|line| line.strip_prefix("Caught-by: "))
            .peekable();
        assert!(tests.peek().is_some(), "{name} is caught by whom?");
        for test in tests {
            let (suite, filter) = test.split_once(' ').expect("a suite and a test");
            assert!(SUITES.contains(&suite), "{name}: no suite {suite}");
            assert!(!filter.is_empty(), "{name}: all tests of {suite}?");
        }
    }
}

#[test]
fn the_table_lists_exactly_the_mutants_that_there_are() {
    let table = read("docs/mutants.md");
    let listed: BTreeSet<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    let patches = patches();
    let there: BTreeSet<&str> = patches.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(listed, there, "run `make mutants`");
}
