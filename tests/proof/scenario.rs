//! Scenarios: what people ask for, what the world does, and how it must end, however often the
//! process is killed meanwhile.

use std::time::Duration;

use rave_tests::{Failing, Witness};

/// Something that a client does, again and again until it is answered.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Act {
    /// Somebody types a command. `{1}` is the first run that was asked for.
    Says(&'static str, &'static str),
    /// A program asks for intents, with the same key each time.
    Asks(&'static [&'static str]),
    /// Nothing is done before the effect has begun, or every run has settled.
    Begins(&'static str),
    /// Nothing is done before every run has settled.
    Settles,
    /// The chat takes nothing any more.
    ChatFails,
    /// It works again.
    ChatIsBack,
}

/// One scenario.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// Names and texts of intent files.
    pub(crate) intents: &'static [(&'static str, &'static str)],
    /// What the world does wrong, and how long it takes.
    pub(crate) world: fn(&Witness),
    pub(crate) acts: &'static [Act],
    /// How each run may end, in the order of requests; without a kill it is the first.
    pub(crate) ends: &'static [&'static [&'static str]],
    /// How often each effect takes place without a kill.
    pub(crate) effects: &'static [(&'static str, usize)],
    /// Stacks and their values at the end.
    pub(crate) values: &'static [(&'static str, i64)],
    /// Headlines of the messages that come later, without a kill: to whom, about which run.
    pub(crate) later: &'static [&'static str],
}

const NOTHING: fn(&Witness) = |_| ();

pub(crate) const READ: Scenario = Scenario {
    name: "a read",
    intents: &[("look", "action: stacks.read\nstack: web\nroles: [ops]\n")],
    world: NOTHING,
    acts: &[Act::Says("ann", "/rave run look")],
    ends: &[&["succeeded"]],
    effects: &[("look", 1)],
    values: &[],
    later: &["ann/1: ✅ run 1: look succeeded."],
};

pub(crate) const IDEMPOTENT: Scenario = Scenario {
    name: "an idempotent step",
    intents: &[(
        "ensure",
        "action: stacks.idempotent\nstack: web\nvalue: 7\nroles: [ops]\n",
    )],
    world: NOTHING,
    acts: &[Act::Says("ann", "/rave run ensure")],
    ends: &[&["succeeded"]],
    effects: &[("ensure", 1)],
    values: &[("web", 7)],
    later: &["ann/1: ✅ run 1: ensure succeeded."],
};

pub(crate) const KEYED: Scenario = Scenario {
    name: "a keyed step",
    intents: &[("page", "action: stacks.keyed\nstack: pager\nroles: [ops]\n")],
    world: NOTHING,
    acts: &[Act::Says("ann", "/rave run page")],
    ends: &[&["succeeded"]],
    effects: &[("page", 1)],
    values: &[],
    later: &["ann/1: ✅ run 1: page succeeded."],
};

pub(crate) const PROBE: Scenario = Scenario {
    name: "a step that can be looked up",
    intents: &[("resize", "action: stacks.probe\nstack: db\nroles: [ops]\n")],
    world: NOTHING,
    acts: &[Act::Says("ann", "/rave run resize")],
    ends: &[&["succeeded"]],
    effects: &[("resize", 1)],
    values: &[],
    later: &["ann/1: ✅ run 1: resize succeeded."],
};

pub(crate) const ONCE: Scenario = Scenario {
    name: "a step that must not be repeated",
    intents: &[("mail", "action: stacks.once\nstack: mail\nroles: [ops]\n")],
    world: NOTHING,
    acts: &[Act::Says("ann", "/rave run mail")],
    // A person may find that it did not happen.
    ends: &[&["succeeded", "failed"]],
    effects: &[("mail", 1)],
    values: &[],
    later: &["ann/1: ✅ run 1: mail succeeded."],
};

pub(crate) const DIAMOND: Scenario = Scenario {
    name: "a diamond graph",
    intents: &[
        ("base", "action: stacks.idempotent\nstack: base\n"),
        (
            "left",
            "action: stacks.keyed\nstack: left\ndepends_on: [base]\n",
        ),
        (
            "right",
            "action: stacks.probe\nstack: right\ndepends_on: [base]\n",
        ),
        (
            "top",
            "action: stacks.idempotent\nstack: top\ndepends_on: [left, right]\n",
        ),
    ],
    world: |witness| {
        for side in ["left", "right"] {
            witness.takes(side, Duration::from_millis(20));
        }
    },
    acts: &[Act::Asks(&["top"])],
    ends: &[&["succeeded"]],
    effects: &[("base", 1), ("left", 1), ("right", 1), ("top", 1)],
    values: &[],
    later: &[],
};

pub(crate) const APPROVAL: Scenario = Scenario {
    name: "an approval by two people",
    intents: &[(
        "wipe",
        "action: stacks.probe\nstack: db\nroles: [ops]\n\
         approval: {required: 2, from: [ops, oncall], ttl: 30m, run_within: 15m}\n",
    )],
    world: NOTHING,
    acts: &[
        Act::Says("ann", "/rave run wipe"),
        Act::Says("bob", "/rave approve {1}"),
        Act::Says("cem", "/rave approve {1}"),
    ],
    ends: &[&["succeeded"]],
    effects: &[("wipe", 1)],
    values: &[],
    later: &[
        "ann/1: run 1: wipe is running.",
        "ann/1: ✅ run 1: wipe succeeded.",
    ],
};

pub(crate) const LOCK_QUEUE: Scenario = Scenario {
    name: "a queue for a lock",
    intents: &[
        (
            "first",
            "action: stacks.keyed\nstack: web\nvalue: 1\nroles: [ops]\n",
        ),
        (
            "second",
            "action: stacks.keyed\nstack: web\nvalue: 2\nroles: [ops]\n",
        ),
        (
            "third",
            "action: stacks.keyed\nstack: web\nvalue: 3\nroles: [ops]\n",
        ),
    ],
    world: |witness| witness.takes("first", Duration::from_millis(150)),
    acts: &[
        Act::Says("ann", "/rave run first"),
        Act::Says("bob", "/rave run second"),
        Act::Says("ann", "/rave run third"),
    ],
    ends: &[&["succeeded"], &["succeeded"], &["succeeded"]],
    effects: &[("first", 1), ("second", 1), ("third", 1)],
    // Whoever came last ran last.
    values: &[("web", 3)],
    later: &[
        "ann/1: ✅ run 1: first succeeded.",
        "ann/3: run 3: third is running.",
        "ann/3: ✅ run 3: third succeeded.",
        "bob/2: run 2: second is running.",
        "bob/2: ✅ run 2: second succeeded.",
    ],
};

pub(crate) const CANCEL: Scenario = Scenario {
    name: "a cancel",
    intents: &[
        (
            "slow",
            "action: stacks.set\nstack: web\nvalue: 9\nroles: [ops]\n",
        ),
        ("never", "action: stacks.once\nstack: mail\nroles: [ops]\n"),
    ],
    world: |witness| witness.takes("slow", Duration::from_secs(300)),
    acts: &[
        Act::Says("ann", "/rave run slow never"),
        Act::Begins("slow"),
        Act::Says("ann", "/rave cancel {1}"),
    ],
    ends: &[&["cancelled"]],
    effects: &[("slow", 0), ("never", 0), ("undo of slow", 1)],
    values: &[("web", 1)],
    later: &["ann/1: ⚠\u{fe0f} run 1: slow and never were cancelled."],
};

pub(crate) const UNDO: Scenario = Scenario {
    name: "an undo of two steps",
    intents: &[
        (
            "one",
            "action: stacks.set\nstack: web\nvalue: 5\nroles: [ops]\n",
        ),
        (
            "two",
            "action: stacks.set\nstack: db\nvalue: 6\nroles: [ops]\n",
        ),
    ],
    world: |witness| witness.fails("two", &Failing::RejectedAfter("no space"), 100),
    acts: &[Act::Says("ann", "/rave run one two --unwind=run")],
    ends: &[&["failed"]],
    effects: &[
        ("one", 1),
        ("two", 1),
        ("undo of one", 1),
        ("undo of two", 1),
    ],
    values: &[("web", 1), ("db", 1)],
    later: &["ann/1: ❌ run 1: one and two failed."],
};

pub(crate) const RETRY: Scenario = Scenario {
    name: "retries",
    intents: &[(
        "flaky",
        "action: stacks.keyed\nstack: web\nroles: [ops]\nretry: {max: 5, backoff: 20ms..50ms}\n",
    )],
    world: |witness| witness.fails("flaky", &Failing::Transient("busy"), 2),
    acts: &[Act::Says("ann", "/rave run flaky")],
    ends: &[&["succeeded"]],
    effects: &[("flaky", 1)],
    values: &[],
    later: &["ann/1: ✅ run 1: flaky succeeded."],
};

pub(crate) const OUTBOX_DOWN: Scenario = Scenario {
    name: "a chat that is down",
    intents: &[
        ("page", "action: stacks.keyed\nstack: pager\nroles: [ops]\n"),
        ("mail", "action: stacks.probe\nstack: mail\nroles: [ops]\n"),
    ],
    world: NOTHING,
    acts: &[
        Act::ChatFails,
        Act::Says("ann", "/rave run page"),
        Act::Says("bob", "/rave run mail"),
        Act::Settles,
        Act::ChatIsBack,
    ],
    ends: &[&["succeeded"], &["succeeded"]],
    effects: &[("page", 1), ("mail", 1)],
    values: &[],
    later: &[
        "ann/2: ✅ run 1: page succeeded.",
        "bob/3: ✅ run 2: mail succeeded.",
    ],
};
