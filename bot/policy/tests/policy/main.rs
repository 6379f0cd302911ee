//! What the policy of a small company allows, and what it refuses when anything is wrong.

#[cfg(test)]
mod approvals;
#[cfg(test)]
mod closed;
#[cfg(test)]
mod conditions;
#[cfg(test)]
mod explained;
#[cfg(test)]
mod key_file;
#[cfg(test)]
mod matrix;
#[cfg(test)]
mod people;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod world;
