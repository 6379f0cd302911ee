//! The digest of a plan: SHA-256 over its canonical JSON.
//!
//! The text is what [`canonical_json`](super::canonical_json) would write, but a plan may have ten
//! thousand steps, so it is written from the fields themselves, in the order of their names, and
//! never stands in memory as a whole. Every struct is taken apart with all its fields, so that a
//! new one cannot be forgotten here.

use std::time::Duration;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{Operation, Plan, PlannedStep, Retry, Undo};
use crate::ids::{Digest, Target};
use crate::request::RunOptions;
use crate::value::{SecretRef, Value, Values};

/// The shape of the text. Another one voids every open approval.
const VERSION: u32 = 1;

/// The digest of everything in a plan that decides what happens.
pub(super) fn of(plan: &Plan) -> Digest {
    // What a plan is made from and under, who must agree, and the digest itself stand beside it.
    let Plan {
        requested,
        steps,
        options,
        max_parallel,
        approvals: _,
        definitions,
        catalog: _,
        policy: _,
        digest: _,
    } = plan;
    let mut text = Text::default();
    text.raw("{\"definitions\":");
    text.parts(*b"{}", definitions, |text, (name, digest)| {
        text.string(name.as_str());
        text.raw(":");
        text.value(digest);
    });
    text.raw(",\"max_parallel\":");
    text.value(max_parallel);
    text.raw(",\"options\":");
    text.options(options);
    text.raw(",\"requested\":");
    text.value(requested);
    text.raw(",\"steps\":");
    text.parts(*b"[]", steps, |text, step| text.step(step));
    text.raw(",\"v\":");
    text.value(&VERSION);
    text.raw("}");
    text.digest()
}

/// Text on its way into a digest.
#[derive(Default)]
struct Text {
    hasher: Sha256,
    /// What has not gone into the hasher yet.
    pending: Vec<u8>,
}

impl Text {
    /// As much at once as hashing needs to be fast, and little enough to stay near the processor.
    const ENOUGH: usize = 8 * 1024;

    fn raw(&mut self, text: &str) {
        self.pending.extend_from_slice(text.as_bytes());
    }

    fn string(&mut self, string: &str) {
        // Looked at as a whole, so that the processor takes many bytes at once; most have nothing
        // to escape.
        let odd = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
        if string.bytes().fold(false, |any, byte| any | odd(byte)) {
            return self.value(string);
        }
        self.pending.push(b'"');
        self.raw(string);
        self.pending.push(b'"');
    }

    fn value<T: Serialize + std::fmt::Debug + ?Sized>(&mut self, value: &T) {
        let before = self.pending.len();
        // Memory takes everything and the keys are all text, so this only stands in for the
        // impossible: what cannot be written must still tell two plans apart.
        if serde_json::to_writer(&mut self.pending, value).is_err() {
            self.pending.truncate(before);
            self.raw(&format!("{value:?}"));
        }
    }

    /// Many values in brackets.
    fn parts<T>(
        &mut self,
        [open, close]: [u8; 2],
        parts: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) {
        let mut before = open;
        for part in parts {
            self.pending.push(before);
            before = b',';
            write(self, part);
            if self.pending.len() >= Self::ENOUGH {
                self.hasher.update(&self.pending);
                self.pending.clear();
            }
        }
        if before == open {
            self.pending.push(open);
        }
        self.pending.push(close);
    }

    fn options(&mut self, options: &RunOptions) {
        let RunOptions {
            stop_on_failure,
            rollback_on_failure,
            unwind,
            order,
        } = options;
        self.raw("{\"order\":");
        self.value(order);
        self.raw(",\"rollback_on_failure\":");
        self.value(rollback_on_failure);
        self.raw(",\"stop_on_failure\":");
        self.value(stop_on_failure);
        self.raw(",\"unwind\":");
        self.value(unwind);
        self.raw("}");
    }

    fn step(&mut self, step: &PlannedStep) {
        let PlannedStep {
            operation,
            arguments,
            role: _,
            needs,
            after,
            lock,
            undo,
            preview,
        } = step;
        self.raw("{\"after\":");
        self.value(after);
        self.raw(",\"arguments\":");
        self.values(arguments);
        self.raw(",\"binding\":");
        self.value(&preview.binding);
        self.raw(",\"lock\":");
        match lock {
            Some(lock) => self.string(lock.as_str()),
            None => self.raw("null"),
        }
        self.raw(",\"needs\":");
        self.value(needs);
        self.raw(",\"operation\":");
        self.operation(operation);
        self.raw(",\"undo\":");
        match undo {
            Undo::None => self.raw("null"),
            Undo::Own { .. } => self.raw("\"own\""),
            Undo::Intent { operation, .. } => self.operation(operation),
        }
        self.raw("}");
    }

    fn operation(&mut self, operation: &Operation) {
        let Operation {
            intent,
            action,
            driver,
            class,
            target: Target { kind, name },
            fields,
            timeout,
            retry:
                Retry {
                    max,
                    first,
                    ceiling,
                },
        } = operation;
        self.raw("{\"action\":");
        self.string(action.as_str());
        self.raw(",\"class\":");
        self.value(class);
        self.raw(",\"driver\":");
        self.string(driver.as_str());
        self.raw(",\"fields\":");
        self.values(fields);
        self.raw(",\"intent\":");
        self.string(intent.as_str());
        self.raw(",\"retry\":{\"ceiling\":");
        self.span(*ceiling);
        self.raw(",\"first\":");
        self.span(*first);
        self.raw(",\"max\":");
        self.value(max);
        self.raw("},\"target\":{\"kind\":");
        self.string(kind);
        self.raw(",\"name\":");
        self.string(name);
        self.raw("},\"timeout\":");
        self.span(*timeout);
        self.raw("}");
    }

    fn span(&mut self, span: Duration) {
        self.raw("{\"nanos\":");
        self.value(&span.subsec_nanos());
        self.raw(",\"secs\":");
        self.value(&span.as_secs());
        self.raw("}");
    }

    fn values(&mut self, values: &Values) {
        self.parts(*b"{}", values, |text, (name, value)| {
            text.string(name);
            text.raw(":");
            match value {
                Value::Text(string) => {
                    text.raw("{\"text\":");
                    text.string(string);
                    text.raw("}");
                }
                // Its fields are not in the order of their names by themselves.
                Value::Secret(SecretRef { param, keyed_hash }) => {
                    text.raw("{\"secret\":{\"keyed_hash\":");
                    text.value(keyed_hash);
                    text.raw(",\"param\":");
                    text.string(param);
                    text.raw("}}");
                }
                // These have one key each, and maps are sorted.
                Value::Int(_) | Value::Bool(_) | Value::List(_) | Value::Map(_) => {
                    text.value(value);
                }
            }
        });
    }

    fn digest(mut self) -> Digest {
        self.hasher.update(&self.pending);
        Digest::from_bytes(self.hasher.finalize().into())
    }
}
