//! The commands that are there without any intent file.

/// A built-in command, as help shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Builtin {
    /// The words that call it: `schedule run`.
    pub words: &'static str,
    /// How it is written, parameters included.
    pub usage: &'static str,
    /// What it does, one sentence without a full stop.
    pub description: &'static str,
    /// Whether it changes something, as against only reading.
    pub changes: bool,
}

const fn reads(words: &'static str, usage: &'static str, description: &'static str) -> Builtin {
    Builtin {
        words,
        usage,
        description,
        changes: false,
    }
}

const fn changes(words: &'static str, usage: &'static str, description: &'static str) -> Builtin {
    Builtin {
        words,
        usage,
        description,
        changes: true,
    }
}

/// All of them, in the order of help.
pub const BUILTINS: &[Builtin] = &[
    reads(
        "help",
        "help [topic]",
        "Shows what you can do, or one command",
    ),
    reads(
        "intents",
        "intents",
        "Lists the catalog and marks what you may run",
    ),
    reads(
        "plan",
        "plan <intent…> [name=value…]",
        "Shows what would happen and changes nothing",
    ),
    changes(
        "run",
        "run <intent…> [name=value…]",
        "Runs intents in the order given",
    ),
    changes(
        "approve",
        "approve <run> [reason]",
        "Agrees to a run that waits for approval",
    ),
    changes(
        "deny",
        "deny <run> [reason]",
        "Refuses a run; one refusal is enough",
    ),
    changes(
        "cancel",
        "cancel <run> [reason]",
        "Stops a run and undoes the step that was interrupted",
    ),
    changes(
        "retry",
        "retry <run>",
        "Asks again for what an ended run did",
    ),
    changes(
        "resolve",
        "resolve <run> <step> happened|did-not|again",
        "Says what became of a step whose outcome is unknown",
    ),
    reads("runs", "runs", "Lists recent runs"),
    reads("show", "show <run>", "Shows a run and its steps"),
    reads(
        "logs",
        "logs <run>",
        "Shows what the steps of a run printed",
    ),
    reads("schedules", "schedules", "Lists the schedules"),
    changes(
        "schedule run",
        "schedule run <name> [--dry-run]",
        "Fires a schedule now",
    ),
    changes(
        "freeze",
        "freeze <scope> [reason]",
        "Holds back new runs: *, an intent, or a target such as stack/media",
    ),
    changes("unfreeze", "unfreeze <scope>", "Ends a freeze"),
    reads("freezes", "freezes", "Lists active freezes"),
    reads(
        "locks",
        "locks",
        "Lists what is locked, by which run, and who waits",
    ),
    changes(
        "unlock",
        "unlock <target>",
        "Breaks a lock; the run that holds it loses it",
    ),
    reads("audit", "audit", "Shows the newest rows of the audit trail"),
    reads(
        "whoami",
        "whoami",
        "Shows who you are to Rave and which roles you hold",
    ),
    changes(
        "link",
        "link [code | totp [code]]",
        "Makes another account yours, or sets up a second factor",
    ),
    changes(
        "unlink",
        "unlink <account>",
        "Gives up an account that was linked",
    ),
    changes("reload", "reload", "Loads intents and schedules again"),
    reads("status", "status", "Shows how Rave is doing"),
];

/// First words that are promised to built-ins to come; an intent that took one would break then.
const PROMISED: &[&str] = &["why", "schedule"];

/// Whether a lower-case word starts a built-in, so that no intent's command may.
pub(crate) fn is_head(word: &str) -> bool {
    PROMISED.contains(&word)
        || BUILTINS
            .iter()
            .any(|builtin| builtin.words.split(' ').next() == Some(word))
}

/// The built-in with these words, whatever their case.
#[must_use]
pub fn find(words: &str) -> Option<&'static Builtin> {
    BUILTINS
        .iter()
        .find(|builtin| builtin.words.eq_ignore_ascii_case(words))
}
