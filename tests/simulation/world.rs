//! What the drivers reach: effects that take place, or do not, whatever Rave hears of them.

use std::collections::BTreeMap;
use std::time::Duration;

use rave_domain::ids::{Attempt, EffectKey, Epoch, RunId, StepId, Target};
use rave_domain::plan::Class;

use crate::dice::Dice;

/// Whether anything may go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weather {
    /// Faults, people of all intentions, crashes.
    Storm,
    /// Everything works and people help.
    Calm,
}

/// What a driver will say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// It took place.
    Done,
    /// The target said no.
    Rejected,
    /// It did not work this time.
    Transient,
    /// The call was made and its outcome is lost.
    Lost,
    /// The driver panicked.
    Panic,
    /// Nothing, until its timeout.
    Silence,
}

/// One effect that has begun.
#[derive(Debug, Clone)]
pub(crate) struct Effect {
    pub(crate) run: RunId,
    pub(crate) step: StepId,
    pub(crate) attempt: Attempt,
    pub(crate) epoch: Epoch,
    pub(crate) key: EffectKey,
    pub(crate) class: Class,
    pub(crate) target: Target,
    pub(crate) timeout: Duration,
    /// What of it is still to come: it takes place, and then the driver answers.
    pub(crate) will_land: bool,
    pub(crate) word: Word,
}

#[derive(Debug, Default)]
pub(crate) struct World {
    /// Effects of which something still runs, also those whose Rave was killed.
    pub(crate) running: Vec<Effect>,
    /// How often an effect took place.
    pub(crate) landed: BTreeMap<EffectKey, u32>,
}

impl World {
    /// Decides how an effect will go. Drivers keep their contract: `Done` only of what took place,
    /// `Transient` of what may be repeated.
    pub(crate) fn fate(class: Class, weather: Weather, dice: &mut Dice) -> (bool, Word) {
        if weather == Weather::Calm {
            return (true, Word::Done);
        }
        match dice.below(12) {
            0..=5 => (true, Word::Done),
            6 => (false, Word::Rejected),
            7 => (class.reruns() && dice.one_in(2), Word::Transient),
            8 | 9 => (dice.one_in(2), Word::Lost),
            10 => (dice.one_in(2), Word::Panic),
            _ => (dice.one_in(2), Word::Silence),
        }
    }

    pub(crate) fn took_place(&self, key: &EffectKey) -> u32 {
        self.landed.get(key).copied().unwrap_or_default()
    }

    /// A running effect takes place. The target of a `keyed` one knows its key.
    pub(crate) fn land(&mut self, at: usize) {
        let effect = &mut self.running[at];
        effect.will_land = false;
        let times = self.landed.entry(effect.key.clone()).or_default();
        if effect.class != Class::Keyed || *times == 0 {
            *times += 1;
        }
    }

    /// Ends what is left of an effect; nothing of it takes place any more.
    pub(crate) fn end(&mut self, key: &EffectKey) {
        self.running.retain(|effect| effect.key != *key);
    }

    pub(crate) fn runs(&self, key: &EffectKey) -> bool {
        self.running.iter().any(|effect| effect.key == *key)
    }
}
