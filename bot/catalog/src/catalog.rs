//! All intents and schedules of an installation, checked together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rave_domain::ports::driver::Actions;
use rave_domain::{Digest, IntentName};

use crate::check::{self, Commands};
use crate::diagnostic::{Diagnostic, Diagnostics, Report};
use crate::file::{Places, Reader};
use crate::graph::Graph;
use crate::intent::{Intent, UndoRule};
use crate::param::{Param, ParamKind};
use crate::schedule::{self, Schedule};
use crate::source::SourceFile;
use crate::template::same_name;

/// What the configuration says about the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The label that counts as approved, and the one of intents that state none.
    pub approved_label: String,
    /// Words that no command may start with, beside the built-in ones: the CLI's own.
    pub reserved_words: BTreeSet<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            approved_label: "approved-by-gemini".to_owned(),
            reserved_words: BTreeSet::new(),
        }
    }
}

/// A catalog without mistakes. Immutable: a reload makes a new one.
#[derive(Debug, Clone)]
pub struct Catalog {
    intents: BTreeMap<IntentName, Arc<Intent>>,
    graph: Graph,
    /// The labels of the intents that ask for one.
    labels: BTreeMap<IntentName, String>,
    schedules: Vec<Schedule>,
    commands: Commands,
    settings: Settings,
    warnings: Diagnostics,
    digest: Digest,
}

/// An intent together with what only the check across files needs.
pub(crate) struct Loaded {
    pub(crate) intent: Intent,
    pub(crate) places: Places,
}

impl Catalog {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// All mistakes of all files at once, warnings among them.
    pub fn load(
        sources: &[SourceFile],
        schedules: Option<&SourceFile>,
        actions: &Actions,
        settings: &Settings,
    ) -> Result<Self, Diagnostics> {
        let mut found = Vec::new();
        let (loaded, known) = read_all(sources, actions, &mut found);
        check::dependencies(&loaded, &known, &mut found);
        check::cycles(&loaded, &mut found);
        check::undos(&loaded, &known, &mut found);
        let commands = check::commands(&loaded, settings, &mut found);
        let schedules = schedules.map_or_else(Vec::new, |file| {
            let mut report = Report::new(&file.path);
            let read = schedule::read(&file.text, &loaded, &known, &mut report);
            found.extend(report.into_found());
            read
        });
        let found = Diagnostics::new(found);
        if found.has_errors() {
            return Err(found);
        }
        let intents: BTreeMap<IntentName, Arc<Intent>> = loaded
            .into_iter()
            .map(|(name, loaded)| (name, Arc::new(loaded.intent)))
            .collect();
        Ok(Self {
            digest: digest(&intents, &schedules, settings),
            graph: Graph::of(&intents),
            labels: labels(&intents),
            intents,
            schedules,
            commands,
            settings: settings.clone(),
            warnings: found,
        })
    }

    /// The intent with a name.
    #[must_use]
    pub fn get(&self, name: &IntentName) -> Option<&Arc<Intent>> {
        self.intents.get(name)
    }

    /// The intent with a name that may not even be well formed.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Arc<Intent>> {
        IntentName::new(name)
            .ok()
            .and_then(|name| self.intents.get(&name))
    }

    /// The names nearest to one that is not there, best first, at most three.
    #[must_use]
    pub fn near(&self, name: &str) -> Vec<&str> {
        let names = self.intents.keys().map(IntentName::as_str);
        crate::suggest::nearest(name, names, 3)
    }

    /// All intents by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Intent>> + Clone {
        self.intents.values()
    }

    /// How many intents there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.intents.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.intents.is_empty()
    }

    /// All schedules in file order, disabled ones too.
    #[must_use]
    pub fn schedules(&self) -> &[Schedule] {
        &self.schedules
    }

    /// The schedule with a name.
    #[must_use]
    pub fn schedule(&self, name: &str) -> Option<&Schedule> {
        self.schedules.iter().find(|schedule| schedule.name == name)
    }

    /// What it was loaded with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What somebody should look at although the catalog works.
    #[must_use]
    pub fn warnings(&self) -> &Diagnostics {
        &self.warnings
    }

    /// Changes with every definition, schedule and the approved label; recorded beside plans.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The label that an intent's file asks for; `None` when any that is approved will do.
    #[must_use]
    pub fn label_of(&self, name: &IntentName) -> Option<&str> {
        self.labels.get(name).map(String::as_str)
    }

    pub(crate) fn graph(&self) -> &Graph {
        &self.graph
    }

    pub(crate) fn commands(&self) -> &Commands {
        &self.commands
    }

    /// The intents that a request for some may touch: themselves, what they depend on at any
    /// depth, and the undos of all these. Arguments of a request belong to all of them.
    #[must_use]
    pub fn reach<'a>(
        &self,
        names: impl IntoIterator<Item = &'a IntentName>,
    ) -> BTreeSet<IntentName> {
        let mut reached = BTreeSet::new();
        let mut undos = Vec::new();
        let mut open: Vec<&IntentName> = names.into_iter().collect();
        while let Some(name) = open.pop() {
            let Some((name, intent)) = self.intents.get_key_value(name) else {
                continue;
            };
            if reached.insert(name.clone()) {
                open.extend(&intent.depends_on);
                // An undo stands for itself: what it depends on does not run with it.
                if let UndoRule::Intent(undo) = &intent.undo {
                    undos.push(undo);
                }
            }
        }
        reached.extend(undos.into_iter().cloned());
        reached
    }

    /// The parameters that a request for some intents may fill, each with the intent that
    /// declares it; requested intents come first where several declare the same name.
    #[must_use]
    pub fn params_of(&self, names: &[IntentName]) -> Vec<(&Intent, &Param)> {
        let reached = self.reach(names);
        let behind = reached.iter().filter(|name| !names.contains(name));
        names
            .iter()
            .chain(behind)
            .filter_map(|name| self.intents.get(name))
            .flat_map(|intent| {
                intent
                    .params
                    .iter()
                    .map(move |param| (intent.as_ref(), param))
            })
            .collect()
    }

    /// Arguments under the names that the intents of a request declare: `-` and `_` are the same
    /// in names, and what is taken out by name must not slip through by the other spelling.
    /// Arguments that no intent declares keep their names.
    #[must_use]
    pub fn canonical_arguments(
        &self,
        names: &[IntentName],
        raw: BTreeMap<String, Vec<String>>,
    ) -> BTreeMap<String, Vec<String>> {
        let params = self.params_of(names);
        let mut canonical: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, values) in raw {
            let declared = params
                .iter()
                .find(|(_, param)| same_name(&param.name, &name))
                .map_or(name, |(_, param)| param.name.clone());
            canonical.entry(declared).or_default().extend(values);
        }
        canonical
    }

    /// The names of secret parameters that a request for some intents may fill; their values must
    /// be taken out of the request before it is stored.
    #[must_use]
    pub fn secret_params(&self, names: &[IntentName]) -> BTreeSet<String> {
        self.params_of(names)
            .into_iter()
            .filter(|(_, param)| matches!(param.kind, ParamKind::Secret))
            .map(|(_, param)| param.name.clone())
            .collect()
    }
}

fn read_all(
    sources: &[SourceFile],
    actions: &Actions,
    found: &mut Vec<Diagnostic>,
) -> (BTreeMap<IntentName, Loaded>, BTreeSet<IntentName>) {
    let mut reader = Reader::new(actions);
    let mut loaded: BTreeMap<IntentName, Loaded> = BTreeMap::new();
    // A file with mistakes still exists: what refers to it must not be reported as well.
    let mut known: BTreeSet<IntentName> = BTreeSet::new();
    for source in sources {
        let mut report = Report::new(&source.path);
        if let Ok(name) = source.intent_name()
            && !known.insert(name.clone())
        {
            check::declared_twice(&name, &mut report);
        } else if let Some((intent, places)) = reader.read(source, &mut report) {
            loaded.insert(intent.name.clone(), Loaded { intent, places });
        }
        found.extend(report.into_found());
    }
    (loaded, known)
}

fn labels(intents: &BTreeMap<IntentName, Arc<Intent>>) -> BTreeMap<IntentName, String> {
    intents
        .iter()
        .filter_map(|(name, intent)| Some((name.clone(), intent.label_required.clone()?)))
        .collect()
}

fn digest(
    intents: &BTreeMap<IntentName, Arc<Intent>>,
    schedules: &[Schedule],
    settings: &Settings,
) -> Digest {
    use std::fmt::Write as _;
    let mut text = String::new();
    for (name, intent) in intents {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name} {}", intent.definition);
    }
    for schedule in schedules {
        let content = serde_json::to_string(schedule).unwrap_or_default();
        let _ = writeln!(text, "{content}");
    }
    let _ = writeln!(text, "{}", settings.approved_label);
    Digest::of(text.as_bytes())
}
