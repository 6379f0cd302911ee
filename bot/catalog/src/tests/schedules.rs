use super::*;
use crate::When;

fn load(text: &str) -> Result<Catalog, crate::Diagnostics> {
    let files = sources(&[
        ("backup.all.yaml", "action: backup\nbackup_type: t\n"),
        (
            "named.yaml",
            "action: rollout\nparams: {stack: slug}\nwith: {stack: '{{ stack }}'}\n",
        ),
        (
            "over.yaml",
            "action: rollout\nstack: x\ndepends_on: [named]\n",
        ),
    ]);
    let file = SourceFile::other("schedules.json", text);
    Catalog::load(&files, Some(&file), &actions(), &Settings::default())
}

#[test]
fn entries_are_kept_with_their_defaults() {
    let catalog = load(
        "{\t\"schedules\": [\n\t{\"name\": \"a \\/ \\u00e4 \\\"b\\\"\", \"intent\": \"backup.all\", \"cron\": \"0 3 * * 7\", \"timezone\": \"UTC\"},\n\t{\"name\": \"b\", \"intent\": \"backup.all\", \"interval_seconds\": 60, \"enabled\": true, \"dry_run\": true}\n]}",
    )
    .unwrap();
    let [first, second] = catalog.schedules() else {
        panic!("two entries")
    };
    assert_eq!(first.name, "a / ä \"b\"");
    assert_eq!(first.when, When::Cron("0 3 * * 7".to_owned()));
    assert_eq!((first.enabled, first.dry_run), (false, false));
    assert_eq!(first.timezone.as_deref(), Some("UTC"));
    assert_eq!(second.when, When::EverySeconds(60));
    assert_eq!((second.enabled, second.dry_run), (true, true));
    assert_eq!(catalog.schedule("b"), Some(second));
}

#[test]
fn all_mistakes_have_a_place() {
    let text = r#"{
  "schedules": [
    {"name": "a", "intent": "bakup.all", "cron": "0 3 * *"},
    {"name": "b", "intent": "backup.all", "cron": "0 3 * * *", "interval_seconds": 5},
    {"name": "b", "intent": "backup.all", "interval_seconds": 0},
    {"intent": "backup.all", "corn": "0 3 * * *"},
    {"name": "c", "intent": "named", "cron": "0 3 * * *", "enabled": "maybe", "timezone": "Mars/Olympus"},
    {"name": "c", "intent": "over", "cron": "61 3 * * *"},
    {"name": "d", "intent": "over", "cron": "0 0 3 * * *"},
    {"name": "c", "intent": "over", "cron": "1 3 * * *"},
    7
  ],
  "scheduels": []
}"#;
    insta::assert_snapshot!(load(text).unwrap_err(), @r#"
        schedules.json:3:29: the intent `bakup.all` does not exist; did you mean `backup.all`?
        schedules.json:3:50: a crontab line has five fields, and `0 3 * *` has 4; they are minute, hour, day of the month, month and day of the week
        schedules.json:4:64: a schedule has `cron` or `interval_seconds`, not both
        schedules.json:5:63: `interval_seconds` is a whole number from 1 to 31622400, not `0`
        schedules.json:6:5: a schedule needs `cron` or `interval_seconds`; for example "cron": "0 3 * * *"
        schedules.json:6:5: a schedule needs a `name`
        schedules.json:6:30: `schedule` has no key `corn`; did you mean `cron`?
        schedules.json:7:14: `named` needs the parameter `stack`, and a schedule brings none; give it a default, or schedule an intent that needs nothing
        schedules.json:7:70: `enabled` is true or false, not `maybe`
        schedules.json:7:91: `Mars/Olympus` is not a time zone that this machine knows; names are like Europe/Berlin or UTC
        schedules.json:8:45: `61 3 * * *` is not a crontab line: Component error: Number out of bounds; they are minute, hour, day of the month, month and day of the week
        schedules.json:9:45: a crontab line has five fields, and `0 0 3 * * *` has 6; they are minute, hour, day of the month, month and day of the week
        schedules.json:10:14: `named` needs the parameter `stack`, and a schedule brings none; give it a default, or schedule an intent that needs nothing
        schedules.json:10:14: another schedule is called `c` already
        schedules.json:11:5: `schedule` is a map, not a single value; its keys are `name`, `intent`, `cron`, `interval_seconds`, `enabled`, `dry_run` and `timezone`
        schedules.json:13:3: `schedules.json` has no key `scheduels`; did you mean `schedules`?
        "#);
}

#[test]
fn what_is_not_json_is_refused_even_if_it_is_yaml() {
    insta::assert_snapshot!(load("schedules: []").unwrap_err(), @"schedules.json:1:1: this is not JSON: expected value");
    insta::assert_snapshot!(load("{\"schedules\": [],\n}").unwrap_err(), @"schedules.json:2:1: this is not JSON: key must be a string");
    insta::assert_snapshot!(load("{}").unwrap_err(), @r#"schedules.json:1:1: `schedules` is missing; write {"schedules": []}"#);
    insta::assert_snapshot!(load("[]").unwrap_err(), @"schedules.json:1:1: `schedules.json` is a map, not a list; its keys are `schedules`");
    insta::assert_snapshot!(load(r#"{"schedules": {}}"#).unwrap_err(), @"schedules.json:1:15: `schedules` is a list, not a map");
}

#[test]
fn an_empty_list_is_fine() {
    assert!(load(r#"{"schedules": []}"#).unwrap().schedules().is_empty());
}
