use super::*;

fn read(kind: &ParamKind, raw: &[&str]) -> Result<Value, String> {
    let raw: Vec<String> = raw.iter().map(|text| (*text).to_owned()).collect();
    kind.read(&raw).map(|read| match read {
        Read::Plain(value) => value,
        Read::Secret(_) => Value::Text("sealed".to_owned()),
    })
}

fn text(kind: &ParamKind, raw: &str) -> bool {
    read(kind, &[raw]) == Ok(Value::Text(raw.to_owned()))
}

#[test]
fn names_addresses_and_times_are_told_apart_from_other_text() {
    for good in ["acme-corp", "a", "7up"] {
        assert!(text(&ParamKind::Slug, good), "{good}");
    }
    for bad in ["Acme", "-a", "a-", "", "a b", "a/b", "ä"] {
        assert!(!text(&ParamKind::Slug, bad), "{bad}");
    }
    for good in ["ann@example.com", "a.b+c@x-y.org"] {
        assert!(text(&ParamKind::Email, good), "{good}");
    }
    for bad in [
        "ann",
        "@x.org",
        "a@",
        "a b@x.org",
        "-a@x.org",
        "a..b@x.org",
        "a@-x.org",
    ] {
        assert!(!text(&ParamKind::Email, bad), "{bad}");
    }
    for good in ["example.com", "10.0.0.1", "::1", "localhost"] {
        assert!(text(&ParamKind::Host, good), "{good}");
    }
    for bad in ["-x", "a..b", "x_y", "http://x", ""] {
        assert!(!text(&ParamKind::Host, bad), "{bad}");
    }
    for good in ["90s", "10m", "1h30m", "2d"] {
        assert!(text(&ParamKind::Duration, good), "{good}");
    }
    for bad in ["", "0s", "10", "-5m", "soon"] {
        assert!(!text(&ParamKind::Duration, bad), "{bad}");
    }
}

#[test]
fn a_minute_is_m_and_a_day_has_24_hours() {
    assert_eq!(parse_duration("10m"), Some(Duration::from_secs(600)));
    assert_eq!(parse_duration("1d"), Some(Duration::from_secs(86_400)));
}

#[test]
fn lists_take_repeats_commas_and_json() {
    let kind = ParamKind::List {
        pattern: None,
        max: 4,
    };
    let list = |items: &[&str]| {
        Ok(Value::List(
            items.iter().map(|item| (*item).to_owned()).collect(),
        ))
    };
    assert_eq!(read(&kind, &["a", "b"]), list(&["a", "b"]));
    assert_eq!(read(&kind, &["a, b,,"]), list(&["a", "b"]));
    assert_eq!(read(&kind, &[r#"["a,b", 3]"#]), list(&["a,b", "3"]));
    assert_eq!(
        read(&kind, &["a,b,c,d,e"]),
        Err("has 5 items and takes at most 4".to_owned())
    );
    assert!(read(&kind, &["[1, {}]"]).is_err());
}

#[test]
fn maps_take_pairs_and_json_and_drop_blanks() {
    let map = |pairs: &[(&str, &str)]| {
        Ok(Value::Map(
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
        ))
    };
    assert_eq!(
        read(&ParamKind::Map, &["team=core, x=1,"]),
        map(&[("team", "core"), ("x", "1")])
    );
    assert_eq!(
        read(&ParamKind::Map, &[r#"{"a": 1, "b": true}"#]),
        map(&[("a", "1"), ("b", "true")])
    );
    assert_eq!(read(&ParamKind::Map, &["a=1", "a=1"]), map(&[("a", "1")]));
    for bad in ["a", "a=", "=1", r#"{"a": null}"#, "{"] {
        assert!(read(&ParamKind::Map, &[bad]).is_err(), "{bad}");
    }
    assert!(read(&ParamKind::Map, &["a=1", "a=2"]).is_err());
}

#[test]
fn errors_say_what_is_accepted_and_never_show_a_secret() {
    let int = ParamKind::Int { min: 0, max: 20 };
    assert_eq!(
        read(&int, &["many"]).unwrap_err(),
        "is `many` and takes a whole number from 0 to 20"
    );
    assert_eq!(
        read(&int, &[""]).unwrap_err(),
        "is empty and takes a whole number from 0 to 20"
    );
    assert_eq!(
        read(&int, &["1", "2"]).unwrap_err(),
        "is given 2 times and takes one value"
    );
    let colour = ParamKind::Enum {
        values: vec!["green".to_owned(), "blue".to_owned()],
    };
    assert_eq!(
        read(&colour, &["gren"]).unwrap_err(),
        "is `gren` and takes `green` or `blue`; did you mean `green`?"
    );
    let error = read(&ParamKind::Secret, &["hunter2\0"]).unwrap_err();
    assert!(!error.contains("hunter2"));
}

#[test]
fn text_that_reads_differently_from_what_it_is_is_refused() {
    let kind = ParamKind::String {
        pattern: None,
        max: DEFAULT_MAX_TEXT,
    };
    assert!(text(&kind, "plain text, ä"));
    for bad in ["a\u{202e}b", "a\nb", "a\u{7}"] {
        assert!(!text(&kind, bad), "{bad:?}");
    }
    assert!(!text(
        &ParamKind::String {
            pattern: None,
            max: 2
        },
        "abc"
    ));
}
