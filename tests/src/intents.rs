//! Intents that most tests get by with.

/// Name and text of each file.
pub(crate) const INTENTS: [(&str, &str); 10] = [
    (
        "rollout_web",
        "description: Roll the web stack\naction: rollout\ncommand: rollout web\nstack: web\nroles: [ops]\n",
    ),
    (
        "rollout_content",
        "description: Roll the content stack\naction: rollout\ncommand: rollout content\nstack: content\nroles: [ops]\n",
    ),
    (
        "rollout_media",
        "description: Roll the media stack\naction: rollout\ncommand: rollout media\nstack: media\n\
         depends_on: [rollout_content]\nroles: [ops]\n\
         approval: {required: 1, from: [ops, oncall], ttl: 30m, run_within: 15m}\n",
    ),
    (
        "scale_web",
        "description: Set how many web containers run\naction: scale\ncommand: scale web <count>\n\
         params:\n  count: {type: int, min: 0, max: 20}\nwith: {stack: web, replicas: '{{ count }}'}\nroles: [ops]\n",
    ),
    (
        "look",
        "description: Look at the web stack\naction: fake.read\nstack: web\nroles: [ops]\n",
    ),
    (
        "mail",
        "description: Mail everybody\naction: fake.once\nstack: mail\nroles: [ops]\n",
    ),
    (
        "page",
        "description: Page somebody\naction: fake.keyed\nstack: pager\nroles: [ops]\n",
    ),
    (
        "resize",
        "description: Resize the database\naction: fake.probe\nstack: db\nroles: [ops]\n",
    ),
    (
        "wipe",
        "description: Wipe the database\naction: fake.once\nstack: db\nroles: [ops]\n\
         approval: {required: 2, from: [ops, oncall]}\n",
    ),
    (
        "secret_thing",
        "description: Only administrators may\naction: fake.idempotent\nstack: vault\n",
    ),
];
