//! What people type becomes an [`Ask`]: one grammar for every chat, the console and the CLI.
//!
//! `<words> [positional …] [key=value …] [--flag]`. Names are settled here and values when the
//! request is bound: this module knows which parameters an intent takes and whether they are
//! flags, but not whether a value is fine.

mod arguments;
pub mod builtin;
mod line;
#[cfg(test)]
mod tests;
mod words;

use rave_domain::request::{Ask, Change, Decision, Identity, Query, RunRequest, Verdict};
use rave_domain::{ErrorCode, IntentName, LockKey, RunId, StepId, UserError};

use crate::catalog::Catalog;
use crate::intent::Intent;
use crate::param::cut;
use crate::suggest;
use arguments::{Gathered, gather};
use words::{Lexer, Word, bad};

pub use line::to_line;
pub use words::MAX_WORDS;

/// The most characters of a line.
pub const MAX_CHARS: usize = 4_000;

/// What asks for help behind any command; phones make the last of the first.
pub(crate) const HELP_FLAGS: [&str; 3] = ["--help", "-h", "—help"];

/// Reads a command line, without the `/rave` in front.
///
/// # Errors
/// What cannot be understood, with the nearest thing that can.
pub fn parse(catalog: &Catalog, text: &str) -> Result<Ask, UserError> {
    let length = text.chars().count();
    if length > MAX_CHARS {
        return Err(bad(
            format!("the command has {length} characters and may have {MAX_CHARS}"),
            "long values belong into a file",
        ));
    }
    if text
        .chars()
        .any(|c| crate::param::is_hidden(c) && !c.is_whitespace())
    {
        return Err(bad(
            "the command holds a character that cannot be seen",
            "type it again without pasting",
        ));
    }
    let mut lexer = Lexer::new(text);
    let Some(first) = lexer.word()? else {
        return Ok(help(""));
    };
    if wants_help(&first) {
        return Ok(help(""));
    }
    if first.is_option {
        return Err(bad(
            format!(
                "a command starts with a word, not with {}",
                cut(&first.text)
            ),
            "`help` lists them",
        ));
    }
    let head = first.text.to_lowercase();
    if !builtin::is_head(&head) {
        return command(catalog, &Lexer::new(text).words()?);
    }
    // `run` and `plan` know better which intent the question is about.
    if !matches!(head.as_str(), "run" | "plan") && wants_help_at_end(lexer.rest()) {
        let topic = lexer
            .rest()
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .to_lowercase();
        let both = format!("{head} {topic}");
        return Ok(help(if builtin::find(&both).is_some() {
            &both
        } else {
            &head
        }));
    }
    builtin_ask(catalog, &head, lexer)
}

/// A question for help; a topic is words with single spaces and never the flag itself.
fn help(topic: &str) -> Ask {
    let words: Vec<&str> = topic
        .split_whitespace()
        .filter(|word| !HELP_FLAGS.contains(word))
        .collect();
    Ask::Query(Query::Help {
        topic: words.join(" "),
    })
}

fn wants_help(word: &Word) -> bool {
    word.is_option && matches!(word.text.as_str(), "--help" | "-h")
}

/// Built-ins have no parameter called help, so it is one wherever it stands alone at the end.
fn wants_help_at_end(rest: &str) -> bool {
    rest.split_whitespace()
        .next_back()
        .is_some_and(|word| HELP_FLAGS.contains(&word))
}

fn builtin_ask(catalog: &Catalog, head: &str, lexer: Lexer<'_>) -> Result<Ask, UserError> {
    let query = |query| Ok(Ask::Query(query));
    match head {
        "help" => Ok(help(lexer.rest())),
        "run" | "plan" => run(catalog, head, &lexer.words()?),
        "approve" => decide(head, lexer, Decision::Approve),
        "deny" => decide(head, lexer, Decision::Deny),
        "cancel" => {
            let (run, reason) = run_and_reason(head, lexer)?;
            Ok(Ask::Change(Change::Cancel { run, reason }))
        }
        "freeze" => freeze(catalog, lexer),
        "show" => query(Query::Show {
            run: only_run(head, lexer)?,
        }),
        "logs" => query(Query::Logs {
            run: only_run(head, lexer)?,
        }),
        "retry" => Ok(Ask::Change(Change::Retry {
            run: only_run(head, lexer)?,
        })),
        "resolve" => resolve(lexer),
        "unfreeze" => {
            let [scope] = exactly(head, lexer)?;
            Ok(Ask::Change(Change::Unfreeze { scope }))
        }
        "unlock" => {
            let [lock] = exactly(head, lexer)?;
            let lock = LockKey::new(lock)
                .map_err(|error| invalid(error.to_string(), "`locks` lists what is held"))?;
            Ok(Ask::Change(Change::Unlock { lock }))
        }
        "schedule" => schedule(catalog, lexer),
        "link" => link(lexer),
        "unlink" => {
            let [account] = exactly(head, lexer)?;
            Ok(Ask::Identity(Identity::Unlink { account }))
        }
        _ => match bare(head) {
            Some(ask) => exactly(head, lexer).map(|[]| ask),
            None => Err(unknown_command(catalog, &[head.to_owned()])),
        },
    }
}

/// Built-ins of one word and nothing behind it.
fn bare(head: &str) -> Option<Ask> {
    Some(match head {
        "intents" => Ask::Query(Query::Intents),
        "runs" => Ask::Query(Query::Runs),
        "schedules" => Ask::Query(Query::Schedules),
        "whoami" => Ask::Query(Query::Whoami),
        "locks" => Ask::Query(Query::Locks),
        "freezes" => Ask::Query(Query::Freezes),
        "audit" => Ask::Query(Query::Audit),
        "status" => Ask::Query(Query::Status),
        "reload" => Ask::Change(Change::Reload),
        _ => return None,
    })
}

fn usage(words: &str) -> String {
    builtin::find(words).map_or_else(String::new, |builtin| format!("write {}", builtin.usage))
}

fn invalid(message: impl Into<String>, hint: impl Into<String>) -> UserError {
    UserError::new(ErrorCode::InvalidArgument, message).hint(hint)
}

/// Exactly so many plain words.
fn exactly<const N: usize>(head: &str, lexer: Lexer<'_>) -> Result<[String; N], UserError> {
    let words = lexer.words()?;
    if let Some(option) = words.iter().find(|word| word.is_option) {
        return Err(bad(
            format!("`{head}` has no option {}", cut(&option.text)),
            usage(head),
        ));
    }
    let texts: Vec<String> = words.into_iter().map(|word| word.text).collect();
    let count = texts.len();
    texts.try_into().map_err(|_| {
        let trouble = if count < N {
            "needs more words"
        } else {
            "takes fewer words"
        };
        bad(format!("`{head}` {trouble}"), usage(head))
    })
}

fn run_id(text: &str) -> Result<RunId, UserError> {
    RunId::new(text).map_err(|_| {
        invalid(
            format!("{} is not the id of a run", cut(text)),
            "ids look like run_01J…; `runs` lists them",
        )
    })
}

fn only_run(head: &str, lexer: Lexer<'_>) -> Result<RunId, UserError> {
    let [run] = exactly(head, lexer)?;
    run_id(&run)
}

/// A run, and behind it free text that needs no quotes.
fn run_and_reason(head: &str, mut lexer: Lexer<'_>) -> Result<(RunId, String), UserError> {
    let Some(word) = lexer.word()? else {
        return Err(bad(format!("`{head}` needs a run"), usage(head)));
    };
    Ok((run_id(&word.text)?, reason(lexer.rest())))
}

/// Free text as written; quotes around the whole of it are only a habit.
fn reason(rest: &str) -> String {
    let mut text = rest.trim();
    loop {
        let inner = [('"', '"'), ('\'', '\''), ('“', '”')]
            .into_iter()
            .find_map(|(open, close)| {
                let inner = text.strip_prefix(open)?.strip_suffix(close)?;
                (!inner.contains([open, close])).then(|| inner.trim())
            });
        match inner {
            Some(inner) => text = inner,
            None => return text.to_owned(),
        }
    }
}

fn decide(head: &str, lexer: Lexer<'_>, decision: Decision) -> Result<Ask, UserError> {
    let (run, reason) = run_and_reason(head, lexer)?;
    Ok(Ask::Change(Change::Decide {
        run,
        decision,
        reason,
    }))
}

fn link(lexer: Lexer<'_>) -> Result<Ask, UserError> {
    let words: Vec<String> = lexer.words()?.into_iter().map(|word| word.text).collect();
    let identity = match words.as_slice() {
        [] => Identity::LinkCode,
        [word] if word.eq_ignore_ascii_case("totp") => Identity::EnrolTotp,
        [code] => Identity::Redeem { code: code.clone() },
        [word, code] if word.eq_ignore_ascii_case("totp") => {
            Identity::ConfirmTotp { code: code.clone() }
        }
        _ => return Err(bad("`link` takes fewer words", usage("link"))),
    };
    Ok(Ask::Identity(identity))
}

fn resolve(lexer: Lexer<'_>) -> Result<Ask, UserError> {
    let [run, step, verdict] = exactly("resolve", lexer)?;
    let run = run_id(&run)?;
    // People count from one.
    let index = step
        .parse::<u32>()
        .ok()
        .and_then(|number| number.checked_sub(1));
    let Some(index) = index else {
        return Err(invalid(
            format!("{} is not the number of a step", cut(&step)),
            "steps count from 1; `show` lists them",
        ));
    };
    let verdict = match verdict.to_lowercase().as_str() {
        "happened" => Verdict::Happened,
        "did-not" => Verdict::DidNot,
        "again" => Verdict::Again,
        _ => {
            return Err(invalid(
                format!(
                    "a verdict is happened, did-not or again, not {}",
                    cut(&verdict)
                ),
                "happened: the step succeeded; did-not: it failed; again: run it once more",
            ));
        }
    };
    Ok(Ask::Change(Change::Resolve {
        run,
        step: StepId(index),
        verdict,
    }))
}

fn freeze(catalog: &Catalog, mut lexer: Lexer<'_>) -> Result<Ask, UserError> {
    let Some(word) = lexer.word()? else {
        return Err(bad("`freeze` needs a scope", usage("freeze")));
    };
    let scope = word.text;
    let known = scope == "*" || catalog.find(&scope).is_some();
    if !known
        && LockKey::new(scope.as_str())
            .ok()
            .is_none_or(|_| !scope.contains('/'))
    {
        let near = suggest::did_you_mean(&scope, catalog.iter().map(|intent| intent.name.as_str()));
        let forms = "a scope is *, the name of an intent, or a target such as stack/media";
        return Err(invalid(
            format!("there is nothing called {} to freeze", cut(&scope)),
            if near.is_empty() {
                forms.to_owned()
            } else {
                near
            },
        ));
    }
    let reason = reason(lexer.rest());
    Ok(Ask::Change(Change::Freeze { scope, reason }))
}

fn schedule(catalog: &Catalog, lexer: Lexer<'_>) -> Result<Ask, UserError> {
    let mut words = lexer.words()?;
    let verb = if words.is_empty() {
        String::new()
    } else {
        words.remove(0).text
    };
    if !verb.eq_ignore_ascii_case("run") {
        return Err(UserError::new(
            ErrorCode::UnknownCommand,
            format!(
                "there is no command {}",
                cut(format!("schedule {verb}").trim())
            ),
        )
        .hint(usage("schedule run")));
    }
    let Gathered {
        plain,
        named,
        options,
        ..
    } = gather(&[], &words)?;
    let [name] = plain.as_slice() else {
        return Err(bad(
            "`schedule run` needs the name of one schedule",
            usage("schedule run"),
        ));
    };
    if let Some((key, _)) = named.first() {
        return Err(bad(
            format!("`schedule run` has no option {}", cut(key)),
            usage("schedule run"),
        ));
    }
    if catalog.schedule(name).is_none() {
        let names = catalog
            .schedules()
            .iter()
            .map(|schedule| schedule.name.as_str());
        let near = suggest::did_you_mean(name, names);
        let all = "`schedules` lists them".to_owned();
        return Err(UserError::new(
            ErrorCode::NotFound,
            format!("there is no schedule called {}", cut(name)),
        )
        .hint(if near.is_empty() { all } else { near }));
    }
    Ok(Ask::Change(Change::ScheduleRun {
        name: name.clone(),
        dry_run: options.dry_run,
    }))
}

/// `run a b key=value`; a command's words are fine too: `plan vm start acme`.
fn run(catalog: &Catalog, head: &str, words: &[Word]) -> Result<Ask, UserError> {
    let leading = leading(words);
    let is_command = leading
        .first()
        .is_some_and(|first| catalog.find(first).is_none())
        && catalog.commands().longest(&leading).is_some();
    if is_command {
        return Ok(planned(head, command(catalog, words)?));
    }
    let names: Vec<IntentName> = leading
        .iter()
        .filter_map(|text| catalog.find(text).map(|intent| intent.name.clone()))
        .collect();
    let found = gather(&catalog.params_of(&names), words)?;
    if found.help {
        return Ok(help(names.first().map_or(head, IntentName::as_str)));
    }
    if found.plain.is_empty() {
        return Err(bad(
            format!("`{head}` needs at least one intent"),
            "`intents` lists them",
        ));
    }
    let mut intents = Vec::new();
    for text in &found.plain {
        let intent = catalog
            .find(text)
            .ok_or_else(|| unknown_intent(catalog, text))?;
        intents.push(intent.name.clone());
    }
    let accepted = catalog.params_of(&intents);
    let arguments = found.arguments(&accepted)?;
    Ok(found.options.ask(
        head == "plan",
        RunRequest {
            intents,
            arguments,
            options: found.options.run.clone(),
        },
    ))
}

/// `plan` in front of a command makes it a question.
fn planned(head: &str, ask: Ask) -> Ask {
    if head == "plan"
        && let Ask::Change(Change::Run(request)) = ask
    {
        return Ask::Query(Query::Plan(request));
    }
    ask
}

/// The plain words that a line starts with.
fn leading(words: &[Word]) -> Vec<String> {
    words
        .iter()
        .take_while(|word| !word.is_option && word.equals.is_none())
        .map(|word| word.text.clone())
        .collect()
}

/// A line that starts with an intent's words.
fn command(catalog: &Catalog, words: &[Word]) -> Result<Ask, UserError> {
    let leading = leading(words);
    let Some((name, count)) = catalog.commands().longest(&leading) else {
        if words.iter().any(wants_help) {
            return Ok(help(&leading.join(" ")));
        }
        return Err(unknown_command(catalog, &leading));
    };
    let Some(intent) = catalog.get(name) else {
        return Err(UserError::internal());
    };
    let names = [intent.name.clone()];
    let accepted = catalog.params_of(&names);
    let found = gather(&accepted, words.get(count..).unwrap_or_default())?;
    if found.help {
        return Ok(help(intent.name.as_str()));
    }
    let mut arguments = found.arguments(&accepted)?;
    place(intent, &found.plain, &mut arguments)?;
    Ok(found.options.ask(
        false,
        RunRequest {
            intents: names.to_vec(),
            arguments,
            options: found.options.run.clone(),
        },
    ))
}

/// Positional words fill the positions that are not given by name.
fn place(
    intent: &Intent,
    plain: &[String],
    arguments: &mut std::collections::BTreeMap<String, Vec<String>>,
) -> Result<(), UserError> {
    let mut plain = plain.iter();
    for slot in &intent.command.slots {
        if arguments.contains_key(&slot.param) {
            continue;
        }
        let takes_all = intent
            .param(&slot.param)
            .is_some_and(|param| matches!(param.kind, crate::ParamKind::List { .. }));
        let texts: Vec<String> = if takes_all {
            plain.by_ref().cloned().collect()
        } else {
            plain.by_ref().take(1).cloned().collect()
        };
        if !texts.is_empty() {
            arguments.insert(slot.param.clone(), texts);
        }
    }
    match plain.next() {
        None => Ok(()),
        Some(extra) => Err(invalid(
            format!("{} is one word too many", cut(extra)),
            format!("write {}", crate::help::usage(intent)),
        )),
    }
}

fn unknown_intent(catalog: &Catalog, text: &str) -> UserError {
    let near = suggest::did_you_mean(text, catalog.iter().map(|intent| intent.name.as_str()));
    let all = "`intents` lists them".to_owned();
    UserError::new(
        ErrorCode::UnknownIntent,
        format!("there is no intent called {}", cut(text)),
    )
    .hint(if near.is_empty() { all } else { near })
}

/// The error for words that start no command, with the nearest that do.
pub(crate) fn unknown_command(catalog: &Catalog, words: &[String]) -> UserError {
    let typed = words.join(" ");
    let continuing: Vec<&str> = catalog
        .commands()
        .continuing(words)
        .map(|(key, _)| key)
        .take(5)
        .collect();
    if !continuing.is_empty() {
        return UserError::new(
            ErrorCode::UnknownCommand,
            format!("{} is not a whole command", cut(&typed)),
        )
        .hint(format!("it goes on as {}", suggest::or_list(&continuing)));
    }
    let near = nearest_commands(catalog, words);
    let hint = match suggest::question(&near.iter().map(String::as_str).collect::<Vec<_>>()) {
        hint if hint.is_empty() => "`help` lists what there is".to_owned(),
        hint => hint,
    };
    UserError::new(
        ErrorCode::UnknownCommand,
        format!("there is no command {}", cut(&typed)),
    )
    .hint(hint)
}

/// Commands whose fixed words are close to as many typed words.
fn nearest_commands(catalog: &Catalog, words: &[String]) -> Vec<String> {
    let mut near: Vec<String> = Vec::new();
    let keys = catalog.commands().iter().map(|(key, _)| key);
    let keys: Vec<&str> = keys
        .chain(builtin::BUILTINS.iter().map(|builtin| builtin.words))
        .collect();
    // Longer commands first: what was typed is more likely all of it than a part.
    for count in (1..=words.len().min(4)).rev() {
        let typed = words.get(..count).unwrap_or_default().join(" ");
        let alike = keys
            .iter()
            .copied()
            .filter(|key| key.split(' ').count() == count);
        for key in suggest::nearest(&typed, alike, 3) {
            if near.len() < 3 && !near.iter().any(|have| have == key) {
                near.push(key.to_owned());
            }
        }
    }
    near
}
