//! What somebody typed, out of what Slack made of it ("Formatting text", "Retrieving messages"):
//! `&`, `<` and `>` come as entities, and links, people and channels between angle brackets.

/// The text as it was typed.
pub(crate) fn typed(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        out.push_str(&unescaped(before));
        let Some((inside, after)) = after.split_once('>') else {
            // Slack never sends one alone; somebody's word stays as it is.
            out.push('<');
            rest = after;
            continue;
        };
        out.push_str(&reference(inside));
        rest = after;
    }
    out.push_str(&unescaped(rest));
    out
}

/// What stands between angle brackets, as people write it.
fn reference(inside: &str) -> String {
    let (target, label) = match inside.split_once('|') {
        Some((target, label)) => (target, Some(label).filter(|label| !label.is_empty())),
        None => (inside, None),
    };
    let named = |sign: char, id: &str| {
        let name = label.unwrap_or(id);
        let name = name.trim_start_matches(sign);
        format!("{sign}{}", unescaped(name))
    };
    if let Some(id) = target.strip_prefix('@') {
        named('@', id)
    } else if let Some(id) = target.strip_prefix('#') {
        named('#', id)
    } else if let Some(special) = target.strip_prefix('!') {
        let name = special.split('^').next().unwrap_or(special);
        named('@', name)
    } else {
        // A link that Slack made of a word has the word as its label.
        let shown = label.unwrap_or_else(|| target.strip_prefix("mailto:").unwrap_or(target));
        unescaped(shown)
    }
}

fn unescaped(text: &str) -> String {
    // `&amp;` last: `&amp;lt;` is what somebody sees who typed `&lt;`.
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}

/// The line in a message that mentions Rave: what follows the mention, or what comes before one
/// that ends the message.
pub(crate) fn after_mention(text: &str, rave: Option<&str>) -> String {
    let mention = rave.and_then(|id| {
        let start = format!("<@{id}");
        text.match_indices(&start).find_map(|(at, _)| {
            let after = text.get(at + start.len()..)?;
            let (inside, rest) = after.split_once('>')?;
            (inside.is_empty() || inside.starts_with('|')).then(|| (text.get(..at), rest))
        })
    });
    // Where Slack does not say who Rave is, a mention at the start can only be of Rave.
    let first = || {
        let after = text.trim_start().strip_prefix("<@")?;
        let (_, rest) = after.split_once('>')?;
        Some((None, rest))
    };
    let line = match mention.or_else(first) {
        Some((before, after)) if after.trim().is_empty() => before.unwrap_or_default(),
        Some((_, after)) => after,
        None => text,
    };
    without_command(&typed(line))
}

/// A line without the `/rave` that somebody may put in front of it out of habit.
pub(crate) fn without_command(line: &str) -> String {
    let line = line.trim();
    let rest = line.strip_prefix("/rave").filter(|rest| {
        let next = rest.chars().next();
        next.is_none_or(char::is_whitespace)
    });
    rest.map_or(line, str::trim).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_what_was_typed() {
        for (sent, was_typed) in [
            ("rollout media", "rollout media"),
            ("a &lt;b&gt; &amp; c", "a <b> & c"),
            ("&amp;lt;", "&lt;"),
            ("give <@U012AB3CD|ann> more", "give @ann more"),
            ("give <@U012AB3CD> more", "give @U012AB3CD more"),
            ("in <#C012AB3CD|ops>", "in #ops"),
            ("in <#C012AB3CD|>", "in #C012AB3CD"),
            ("<!here>", "@here"),
            ("<!subteam^S012|@oncall>", "@oncall"),
            ("<!subteam^S012>", "@subteam"),
            ("from <http://example.com|example.com>", "from example.com"),
            (
                "from <https://example.com/?a=1&amp;b=2>",
                "from https://example.com/?a=1&b=2",
            ),
            (
                "to <mailto:ann@example.com|ann@example.com>",
                "to ann@example.com",
            ),
            ("to <mailto:ann@example.com>", "to ann@example.com"),
            ("1 < 2", "1 < 2"),
            ("", ""),
            ("&lt;@U012|x&gt;", "<@U012|x>"),
        ] {
            assert_eq!(typed(sent), was_typed, "{sent}");
        }
    }

    #[test]
    fn a_mention_is_not_part_of_the_command() {
        for (text, line) in [
            ("<@UBOT> approve run_1", "approve run_1"),
            ("<@UBOT|rave> approve run_1", "approve run_1"),
            ("please <@UBOT> approve run_1", "approve run_1"),
            ("approve run_1 <@UBOT>", "approve run_1"),
            ("<@UBOT>", ""),
            ("<@UBOT> /rave status", "status"),
            ("<@UBOT> say <@UBOT2> hi", "say @UBOT2 hi"),
            ("<@UBOT2> <@UBOT> status", "status"),
            ("status", "status"),
        ] {
            assert_eq!(after_mention(text, Some("UBOT")), line, "{text}");
        }
        assert_eq!(after_mention("<@UBOT> status", None), "status");
        assert_eq!(without_command(" /rave  help "), "help");
        assert_eq!(without_command("/ravenous"), "/ravenous");
        assert_eq!(without_command("/rave"), "");
    }

    proptest::proptest! {
        #[test]
        fn no_text_brings_it_down(text in "([<>|@#!&;^]|lt|gt|amp|UBOT|[a-z ]){0,40}") {
            let _ = typed(&text);
            let _ = after_mention(&text, Some("UBOT"));
        }
    }
}
