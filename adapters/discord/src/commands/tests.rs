use rave_domain::form::{self, Completes, Needed, OptionKind};
use serde_json::{Value, json};

use super::*;

fn spec(words: &str, options: Vec<OptionSpec>) -> CommandSpec {
    CommandSpec {
        words: words.split(' ').map(str::to_owned).collect(),
        description: format!("Does {words}"),
        options,
    }
}

fn option(name: &str, needed: Needed, written: Written) -> OptionSpec {
    OptionSpec {
        name: name.to_owned(),
        description: format!("The {name}"),
        kind: OptionKind::Text {
            completes: Completes::No,
        },
        needed,
        written,
    }
}

fn given(pairs: &[(&str, &str)]) -> Vec<Given> {
    pairs
        .iter()
        .map(|(name, value)| Given {
            name: (*name).to_owned(),
            value: (*value).to_owned(),
        })
        .collect()
}

fn path(names: &str) -> Vec<String> {
    names.split(' ').map(str::to_owned).collect()
}

fn registered(commands: &Commands) -> Value {
    serde_json::to_value(commands.registered()).unwrap()
}

fn left_out(commands: &Commands) -> Vec<(String, String)> {
    commands
        .left_out()
        .iter()
        .map(|one| (one.words.clone(), one.why.clone()))
        .collect()
}

#[test]
fn a_command_becomes_a_line_of_the_grammar() {
    let commands = Commands::new(
        &[],
        &[
            spec(
                "approve",
                vec![
                    option("run", Needed::Required, Written::Positional),
                    option("reason", Needed::Optional, Written::Rest),
                ],
            ),
            spec(
                "vm start",
                vec![option("Name", Needed::Required, Written::Named)],
            ),
            spec("vm.stop", Vec::new()),
            spec("backup take now", Vec::new()),
        ],
    );
    for (names, options, line) in [
        ("approve", vec![("run", "run_1")], "approve run_1"),
        // Discord sends options in the order in which they were filled in.
        (
            "approve",
            vec![("reason", " it's \"fine\" "), ("run", "run_1")],
            "approve run_1 it's \"fine\"",
        ),
        ("approve", vec![("run", "a b")], "approve 'a b'"),
        ("vm start", vec![("name", "web 1")], "vm start Name='web 1'"),
        (
            "vm start",
            vec![("name", "it's")],
            r"vm start Name='it'\''s'",
        ),
        (
            "vm start",
            vec![("name", "--force")],
            "vm start Name='--force'",
        ),
        ("vm start", vec![("name", "a=b")], "vm start Name='a=b'"),
        ("vm start", vec![("name", "")], "vm start Name=''"),
        ("vm start", vec![("name", "5")], "vm start Name=5"),
        ("vm stop", vec![], "vm.stop"),
        ("backup take-now", vec![], "backup take now"),
        // Registered by an older catalog.
        (
            "tenant wake",
            vec![("who", "ann x")],
            "tenant wake who='ann x'",
        ),
    ] {
        assert_eq!(
            commands.line(&path(names), &given(&options)),
            line,
            "{names}"
        );
    }
    assert_eq!(commands.words(&path("vm stop")), ["vm.stop"]);
    assert_eq!(commands.option(&path("vm start"), "name"), "Name");
    assert_eq!(commands.option(&path("gone"), "name"), "name");
}

#[test]
fn options_are_typed_and_the_required_ones_come_first() {
    let choices = |number: usize| {
        OptionKind::Choice(
            (0..number)
                .map(|n| form::Choice {
                    label: n.to_string(),
                    value: n.to_string(),
                })
                .collect(),
        )
    };
    let of = |name: &str, needed, kind| OptionSpec {
        kind,
        ..option(name, needed, Written::Named)
    };
    let completes = OptionKind::Text {
        completes: Completes::Yes,
    };
    let integer = OptionKind::Integer {
        min: i64::MIN,
        max: 10,
    };
    let commands = Commands::new(
        &[],
        &[spec(
            "scale",
            vec![
                of("stack", Needed::Optional, completes),
                of("replicas", Needed::Required, integer),
                of("force", Needed::Optional, OptionKind::Bool),
                of("few", Needed::Optional, choices(2)),
                of("many", Needed::Optional, choices(26)),
            ],
        )],
    );
    assert_eq!(
        registered(&commands)["options"][0]["options"],
        json!([
            {"type": 4, "name": "replicas", "description": "The replicas", "required": true,
             "min_value": -9_007_199_254_740_992_i64, "max_value": 10},
            {"type": 3, "name": "stack", "description": "The stack", "autocomplete": true},
            {"type": 5, "name": "force", "description": "The force"},
            {"type": 3, "name": "few", "description": "The few",
             "choices": [{"name": "0", "value": "0"}, {"name": "1", "value": "1"}]},
            {"type": 3, "name": "many", "description": "The many"},
        ])
    );
}

#[test]
fn what_does_not_fit_is_left_out_with_a_reason() {
    let mut specs: Vec<CommandSpec> = (0..24).map(|n| spec(&format!("c{n}"), vec![])).collect();
    specs.extend((0..26).map(|n| spec(&format!("vm s{n}"), vec![])));
    specs.push(spec("tenant wake", vec![]));
    specs.push(spec("c1", vec![]));
    specs.push(spec("c1 sub", vec![]));
    specs.push(spec("vm", vec![]));
    specs.push(spec("has!mark", vec![]));
    specs.push(spec(&"l".repeat(33), vec![]));
    let many = (0..26)
        .map(|n| option(&format!("o{n}"), Needed::Optional, Written::Named))
        .collect();
    specs.push(spec("many", many));
    let bad_option = vec![option("no spaces", Needed::Optional, Written::Named)];
    specs.push(spec("odd", bad_option));
    let commands = Commands::new(&specs, &[]);
    assert_eq!(commands.count(), 24 + 25);
    let text: Vec<String> = left_out(&commands)
        .into_iter()
        .map(|(words, why)| format!("{words}: {why}"))
        .collect();
    insta::assert_snapshot!(text.join("\n"), @r"
    vm s25: `/rave vm` takes 25 entries and has them
    tenant wake: `/rave` takes 25 entries and has them
    c1: `/rave c1` is already something else
    c1 sub: `/rave c1` is already something else
    vm: `/rave vm` is already something else
    has!mark: `has!mark` cannot be a name at Discord
    lllllllllllllllllllllllllllllllll: `lllllllllllllllllllllllllllllllll` cannot be a name at Discord
    many: it has 26 options, and Discord takes 25
    odd: its option `no spaces` cannot be a name at Discord
    ");
}

#[test]
fn groups_come_before_single_intents() {
    let own = [spec("help", vec![])];
    let mut intents: Vec<CommandSpec> =
        (0..30).map(|n| spec(&format!("a{n:02}"), vec![])).collect();
    intents.extend((0..3).map(|n| spec(&format!("vm s{n}"), vec![])));
    let commands = Commands::new(&own, &intents);
    assert_eq!(commands.words(&path("vm s2")), ["vm", "s2"]);
    let registered = registered(&commands);
    let names: Vec<&str> = registered["options"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| node["name"].as_str().unwrap())
        .collect();
    assert_eq!(names[..3], ["help", "vm", "a00"]);
    assert_eq!(names.len(), 25);
    assert_eq!(left_out(&commands)[0].0, "a23");
}

#[test]
fn all_of_it_together_stays_below_eight_thousand_characters() {
    let long = |n: usize| {
        let mut options = vec![option("a", Needed::Optional, Written::Named)];
        for option in &mut options {
            option.description = "d".repeat(150);
        }
        let mut spec = spec(&format!("g{} c{n}", n % 20), options);
        spec.description = "d".repeat(150);
        spec
    };
    let specs: Vec<CommandSpec> = (0..60).map(long).collect();
    let commands = Commands::new(&specs, &[]);
    fn count(value: &Value) -> usize {
        let text = |key: &str| value[key].as_str().map_or(0, |text| text.chars().count());
        let below = |key: &str| {
            let items = value[key].as_array();
            items.map_or(0, |items| items.iter().map(count).sum::<usize>())
        };
        text("name") + text("description") + text("value") + below("options") + below("choices")
    }
    let all = count(&registered(&commands));
    assert!((7700..=8000).contains(&all), "{all}");
    assert!(commands.count() < 60);
    let (_, why) = left_out(&commands).remove(0);
    assert_eq!(why, "all commands together have 8000 characters");
}
