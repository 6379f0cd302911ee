//! The shape of the workspace: who may use whom, and what no file may be.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::data_files::root;

/// The workspace crates that each crate may depend on. Nothing else, in no section of its
/// manifest.
const ALLOWED: [(&str, &[&str]); 11] = [
    ("rave-domain", &[]),
    ("rave-catalog", &["rave-domain"]),
    ("rave-policy", &["rave-domain"]),
    ("rave-store", &["rave-domain"]),
    ("rave-mattermost", &["rave-domain"]),
    ("rave-slack", &["rave-domain"]),
    ("rave-discord", &["rave-domain"]),
    ("rave-compose", &["rave-domain"]),
    (
        "rave-engine",
        &["rave-domain", "rave-catalog", "rave-policy"],
    ),
    (
        "rave-server",
        &["rave-domain", "rave-catalog", "rave-engine"],
    ),
    (
        "rave",
        &[
            "rave-domain",
            "rave-catalog",
            "rave-policy",
            "rave-engine",
            "rave-store",
            "rave-server",
            "rave-mattermost",
            "rave-slack",
            "rave-discord",
            "rave-compose",
        ],
    ),
];

/// Only these know a database or a runtime; the pure crates know neither.
const PURE: [&str; 3] = ["rave-domain", "rave-catalog", "rave-policy"];

/// A file that is longer than this has two subjects.
const LONGEST_FILE: usize = 620;

/// Files that are longer all the same. This list may only shrink.
const LONG_FILES: [&str; 0] = [];

struct Crate {
    name: String,
    folder: PathBuf,
    manifest: toml::Table,
}

fn crates() -> Vec<Crate> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("tests")];
    for group in ["bot", "adapters"] {
        for entry in std::fs::read_dir(root().join(group)).unwrap() {
            folders.push(entry.unwrap().path());
        }
    }
    for folder in folders {
        let text = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        let manifest: toml::Table = text.parse().unwrap();
        found.push(Crate {
            name: manifest["package"]["name"].as_str().unwrap().to_owned(),
            folder,
            manifest,
        });
    }
    found
}

/// Every table of dependencies in a manifest, target-specific ones too.
fn dependencies(manifest: &toml::Table) -> Vec<(String, toml::Value)> {
    let mut tables = Vec::new();
    let targets = manifest.get("target").and_then(toml::Value::as_table);
    let targets = targets.into_iter().flat_map(toml::Table::values);
    let holders = std::iter::once(manifest).chain(targets.filter_map(toml::Value::as_table));
    for holder in holders {
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            if let Some(table) = holder.get(section).and_then(toml::Value::as_table) {
                tables.extend(
                    table
                        .iter()
                        .map(|(name, value)| (name.clone(), value.clone())),
                );
            }
        }
    }
    tables
}

#[test]
fn dependencies_point_one_way() {
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.into();
    let mut wrong = Vec::new();
    for one in crates().iter().filter(|one| one.name != "rave-tests") {
        let Some(may) = allowed.get(one.name.as_str()) else {
            wrong.push(format!("{} is not in the list of layers", one.name));
            continue;
        };
        for (name, _) in dependencies(&one.manifest) {
            let ours = name == "rave" || name.starts_with("rave-");
            if ours && !may.contains(&name.as_str()) {
                wrong.push(format!("{} may not depend on {name}", one.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_pure_crates_know_no_runtime_and_no_io() {
    let mut wrong = Vec::new();
    for one in crates()
        .iter()
        .filter(|one| PURE.contains(&one.name.as_str()))
    {
        let Some(table) = one
            .manifest
            .get("dependencies")
            .and_then(toml::Value::as_table)
        else {
            continue;
        };
        for name in [
            "tokio",
            "tokio-util",
            "axum",
            "reqwest",
            "rusqlite",
            "rustix",
            "getrandom",
        ] {
            if table.contains_key(name) {
                wrong.push(format!("{} is pure and depends on {name}", one.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn only_the_store_knows_sql() {
    for one in crates() {
        let named = one
            .manifest
            .get("dependencies")
            .and_then(toml::Value::as_table)
            .is_some_and(|table| table.contains_key("rusqlite"));
        let may = matches!(one.name.as_str(), "rave-store" | "rave-tests");
        assert!(may || !named, "{} knows SQL", one.name);
    }
}

#[test]
fn versions_and_lints_stand_once_for_the_workspace() {
    let mut wrong = Vec::new();
    for one in crates() {
        if one.manifest.get("lints") != Some(&toml::toml! { workspace = true }.into()) {
            wrong.push(format!("{} has no `[lints] workspace = true`", one.name));
        }
        for (name, value) in dependencies(&one.manifest) {
            let here = value.get("workspace") == Some(&toml::Value::Boolean(true));
            if !here {
                wrong.push(format!("{} states a version of {name}", one.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_dependency_of_the_workspace_says_what_it_is_for_and_is_used() {
    let text = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let workspace: toml::Table = text.parse().unwrap();
    let listed = workspace["workspace"]["dependencies"].as_table().unwrap();
    let used: BTreeSet<String> = crates()
        .iter()
        .flat_map(|one| dependencies(&one.manifest))
        .map(|(name, _)| name)
        .collect();
    let unused: Vec<&String> = listed.keys().filter(|name| !used.contains(*name)).collect();
    assert!(unused.is_empty(), "nobody uses {unused:?}");
}

#[test]
fn no_file_is_too_long_and_none_is_left_to_be_done() {
    // In two parts, so that this file does not hold what it looks for.
    let unfinished = [["todo", "!("].concat(), ["unimplemented", "!("].concat()];
    let mut wrong = Vec::new();
    let mut long = BTreeSet::new();
    for file in rust_files() {
        let shown = file.strip_prefix(root()).unwrap().display().to_string();
        let text = std::fs::read_to_string(&file).unwrap();
        let lines = text.lines().count();
        if lines > LONGEST_FILE {
            long.insert(shown.clone());
            if !LONG_FILES.contains(&shown.as_str()) {
                wrong.push(format!("{shown} has {lines} lines"));
            }
        }
        for word in &unfinished {
            let mut code = text
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"));
            if code.any(|line| line.contains(word.as_str())) {
                wrong.push(format!("{shown} contains {word}…)"));
            }
        }
    }
    for file in LONG_FILES {
        if !long.contains(file) {
            wrong.push(format!("{file} is short enough now; take it off the list"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_file_is_part_of_a_crate() {
    let mut reached = BTreeSet::new();
    for one in crates() {
        let mut roots: Vec<PathBuf> = ["src/lib.rs", "src/main.rs", "build.rs"]
            .iter()
            .map(|file| one.folder.join(file))
            .collect();
        for kind in ["bin", "test", "bench", "example"] {
            let listed = one.manifest.get(kind).and_then(toml::Value::as_array);
            let paths = listed
                .into_iter()
                .flatten()
                .filter_map(|target| target.get("path"));
            roots.extend(
                paths
                    .filter_map(toml::Value::as_str)
                    .map(|path| one.folder.join(path)),
            );
        }
        // What cargo finds by itself.
        for folder in ["src/bin", "tests", "examples", "benches"] {
            for entry in std::fs::read_dir(one.folder.join(folder))
                .into_iter()
                .flatten()
            {
                let path = entry.unwrap().path();
                roots.push(if path.is_dir() {
                    path.join("main.rs")
                } else {
                    path
                });
            }
        }
        for root in roots.iter().filter(|path| path.is_file()) {
            let folder = root.parent().unwrap().to_owned();
            reach(root, &folder, &mut reached);
        }
    }
    let orphans: Vec<String> = rust_files()
        .into_iter()
        .filter(|file| !reached.contains(file))
        .map(|file| file.strip_prefix(root()).unwrap().display().to_string())
        .collect();
    assert!(orphans.is_empty(), "no crate reaches {orphans:#?}");
}

/// Follows `mod name;` from a file whose modules stand in a folder.
fn reach(file: &Path, folder: &Path, reached: &mut BTreeSet<PathBuf>) {
    if !reached.insert(file.to_owned()) {
        return;
    }
    let text = std::fs::read_to_string(file).unwrap();
    for line in text.lines() {
        let line = line.trim();
        let line = line.strip_prefix("pub(crate) ").unwrap_or(line);
        let line = line.strip_prefix("pub ").unwrap_or(line);
        let Some(name) = line
            .strip_prefix("mod ")
            .and_then(|rest| rest.strip_suffix(';'))
        else {
            continue;
        };
        let flat = folder.join(format!("{name}.rs"));
        let nested = folder.join(name).join("mod.rs");
        let below = folder.join(name);
        for found in [flat, nested] {
            if found.is_file() {
                reach(&found, &below, reached);
            }
        }
    }
}

fn rust_files() -> Vec<PathBuf> {
    fn visit(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if path.file_name().is_some_and(|name| name != "target") {
                    visit(&path, files);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    let mut files = Vec::new();
    for group in ["bot", "adapters", "tests"] {
        visit(&root().join(group), &mut files);
    }
    files
}
