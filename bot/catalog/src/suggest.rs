//! Did you mean …?

/// Names longer than this are not typing mistakes of a name; comparing them would only cost time.
const LONGEST: usize = 64;

/// The candidates closest to a word, best first, ties by name, at most `limit`.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
    limit: usize,
) -> Vec<&'a str> {
    let word = word.to_lowercase();
    let length = word.chars().count();
    if length == 0 || length > LONGEST {
        return Vec::new();
    }
    let mut close: Vec<(usize, &str)> = candidates
        .into_iter()
        .filter_map(|candidate| distance(&word, length, candidate).map(|far| (far, candidate)))
        .collect();
    close.sort_unstable();
    close.dedup();
    close
        .into_iter()
        .take(limit)
        .map(|(_, candidate)| candidate)
        .collect()
}

/// The distance, when it is small enough to be a slip of the fingers.
fn distance(word: &str, length: usize, candidate: &str) -> Option<usize> {
    let other = candidate.len();
    let allowed = (length.max(other) / 3).clamp(1, 4);
    // The lengths alone often settle it; byte length is close enough for names.
    if other > LONGEST || length.abs_diff(other) > allowed {
        return None;
    }
    let far = strsim::osa_distance(word, &candidate.to_lowercase());
    (far <= allowed).then_some(far)
}

/// "did you mean `a` or `b`?", or nothing.
pub(crate) fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> String {
    question(&nearest(word, candidates, 3))
}

/// The question for names that are already chosen.
pub(crate) fn question(names: &[&str]) -> String {
    match or_list(names) {
        list if list.is_empty() => list,
        list => format!("did you mean {list}?"),
    }
}

/// "`a`, `b` or `c`".
pub(crate) fn or_list<T: AsRef<str>>(names: &[T]) -> String {
    list(names, "or")
}

/// "`a`, `b` and `c`".
pub(crate) fn and_list<T: AsRef<str>>(names: &[T]) -> String {
    list(names, "and")
}

fn list<T: AsRef<str>>(names: &[T], last_word: &str) -> String {
    let quote = |name: &T| format!("`{}`", name.as_ref());
    match names.split_last() {
        None => String::new(),
        Some((only, [])) => quote(only),
        Some((last, rest)) => {
            let rest: Vec<String> = rest.iter().map(quote).collect();
            format!("{} {last_word} {}", rest.join(", "), quote(last))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_the_name_and_a_stranger_finds_nothing() {
        let names = ["rollout_stack", "scale_stack", "backup"];
        assert_eq!(nearest("rolout_stack", names, 3), ["rollout_stack"]);
        assert_eq!(nearest("Backup", names, 3), ["backup"]);
        assert!(nearest("coffee", names, 3).is_empty());
        assert!(nearest("", names, 3).is_empty());
    }

    #[test]
    fn lists_read_aloud_well() {
        assert_eq!(or_list(&["a"]), "`a`");
        assert_eq!(or_list(&["a", "b", "c"]), "`a`, `b` or `c`");
        assert_eq!(question(&[]), "");
    }
}
