//! *Did you mean*: the word that a mistyped one was meant to be.
//!
//! Owns the distance between words. Refuses to know what the words are for.

/// The word nearest to `wrong`, if one is near enough to be meant.
pub(super) fn nearest<'a>(
    wrong: &str,
    words: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    if wrong.len() > WORD_BYTES_MAX {
        return None;
    }
    let wrong: Vec<char> = wrong.to_lowercase().chars().collect();
    // A third of the letters may be wrong, and one at least.
    let far = (wrong.len() / 3).max(1);
    words
        .into_iter()
        .filter(|word| word.len() <= WORD_BYTES_MAX)
        .map(|word| (distance(&wrong, &word.chars().collect::<Vec<_>>()), word))
        .filter(|(distance, word)| *distance <= far && *distance < word.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// Insertions, deletions, replacements and swaps of neighbours that make `b` out of `a`.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut left = None;
    for (row, letter) in a.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, other) in b.iter().enumerate() {
            let cell = |line: &[usize], at: usize| line.get(at).copied().unwrap_or(usize::MAX - 1);
            let mut best = (cell(&last, column) + usize::from(letter != other))
                .min(cell(&last, column + 1) + 1)
                .min(cell(&current, column) + 1);
            let up_left = column.checked_sub(1).and_then(|at| b.get(at));
            if left == Some(other) && up_left == Some(letter) {
                best = best.min(cell(&before, column - 1) + 1);
            }
            current.push(best);
        }
        before = std::mem::replace(&mut last, current);
        left = Some(letter);
    }
    last.last().copied().unwrap_or(a.len())
}

/// Longer words are not compared: names are 64 bytes at most.
const WORD_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_suggested_and_only_a_near_one() {
        let words = ["mail", "app", "handshake_timeout", "handshakes", "listen", "level"];
        let nearest = |wrong| nearest(wrong, words);
        assert_eq!(nearest("mial"), Some("mail"));
        assert_eq!(nearest("Mail"), Some("mail"));
        assert_eq!(nearest("handshake_time"), Some("handshake_timeout"));
        assert_eq!(nearest("handshake"), Some("handshakes"));
        assert_eq!(nearest("aap"), Some("app"));
        assert_eq!(nearest("listne"), Some("listen"));
        assert_eq!(nearest("entirely"), None);
        assert_eq!(nearest(""), None);
        assert_eq!(nearest(&"x".repeat(1_000)), None);
    }

    #[test]
    fn distances_are_those_of_the_books() {
        let distance = |a: &str, b: &str| {
            distance(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>())
        };
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("mial", "mail"), 1);
        assert_eq!(distance("same", "same"), 0);
    }
}
