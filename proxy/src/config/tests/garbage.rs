//! Whatever stands in the file, there is an answer, and every line in it exists.

use proptest::prelude::*;

use super::*;

const REFERENCE: &str = include_str!("../../../../config.toml");

fn answers(text: &str) {
    let lines = text.matches('\n').count() + 1;
    let Err(errors) = parse(text) else { return };
    assert!(errors.count() >= 1);
    for error in &errors {
        assert!(error.line().is_none_or(|line| (1..=lines).contains(&line)), "{error}");
    }
    for line in errors.to_string().lines() {
        assert!(line.starts_with("config.toml:") || line.starts_with("and "), "{line:?}");
        assert!(line.len() < 2_000, "{line:?}");
    }
}

/// `text` with other words in places.
pub(super) fn damaged(text: &str, cuts: Vec<(u16, usize, String)>) -> String {
    let mut text: Vec<char> = text.chars().collect();
    for (at, length, instead) in cuts {
        let at = usize::from(at) % text.len().max(1);
        let end = (at + length).min(text.len());
        text.splice(at..end, instead.chars());
    }
    text.into_iter().collect()
}

/// `text` with values at the keys of others.
pub(super) fn moved(text: &str, moves: Vec<(u8, u8)>) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (from, to) in moves {
        let count = lines.len();
        let value = lines[usize::from(from) % count].split_once(" = ");
        let value = value.map(|(_, value)| value.to_owned());
        let target = &mut lines[usize::from(to) % count];
        if let (Some(value), Some((key, _))) = (value, target.clone().split_once(" = ")) {
            *target = format!("{key} = {value}");
        }
    }
    lines.join("\n")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_text_has_an_answer(text in r"([\[\]{}='\x22.,#\n\\]|[a-z]{1,5}|[0-9]|\$\{|\PC|\r|\t)*") {
        answers(&text);
    }

    #[test]
    fn a_damaged_reference_has_an_answer(
        cuts in proptest::collection::vec((any::<u16>(), 0_usize..40, ".{0,12}"), 1..6),
    ) {
        answers(&damaged(REFERENCE, cuts));
    }

    #[test]
    fn values_that_changed_places_have_an_answer(
        moves in proptest::collection::vec(any::<(u8, u8)>(), 1..8),
    ) {
        let lines: Vec<&str> =
            REFERENCE.lines().filter(|line| !line.starts_with('#')).collect();
        answers(&moved(&lines.join("\n"), moves));
    }
}

#[test]
fn sizes_beyond_every_cap_are_errors_and_the_list_of_errors_is_capped() {
    let listeners: String =
        (0..2_000).map(|n| format!("[listener.l{n}]\nlisten = ['[::]:{n}']\n")).collect();
    let errors = parse(&format!("{listeners}{}", LEAST.replace("https", "l"))).unwrap_err();
    assert!(errors.to_string().contains("listener: too many: at most 1024"), "{errors}");
    let unknown: String = (0..100_000).map(|n| format!("key{n} = 1\n")).collect();
    let errors = parse(&unknown).unwrap_err();
    assert_eq!(errors.count(), 100_002);
    assert_eq!(errors.iter().len(), 500);
    assert!(errors.to_string().ends_with("and 99502 more"));
    let hosts: Vec<String> = (0..60_000).map(|n| format!("'h{n}.example'")).collect();
    let site = format!("[[listener.https.site]]\nhosts = [{}]\nbackend = 'app'\n", hosts.join(","));
    parse(&format!("{}{site}", LEAST.replace("backend = 'app'\n", ""))).unwrap();
}

#[test]
fn long_names_and_long_texts_do_not_multiply() {
    let long = "x".repeat(1 << 20);
    let keys: String = (0..100_000).map(|n| format!("k{n} = 1\n")).collect();
    answers(&format!("[listener.{long}]\n{keys}"));
    answers(&format!("[{long}]\n{keys}"));
    answers(&format!("log.level = '{}'", "${ADMIN_TOKEN}".repeat(200_000)));
    answers(&format!("log.level = '{long}'"));
}

#[test]
fn deep_nesting_is_an_error_and_not_a_full_stack() {
    answers(&format!("a = {}", "[".repeat(100_000)));
    answers(&format!("a = {}", "{a=".repeat(100_000)));
    answers(&format!("a{} = 1", ".a".repeat(1_000_000)));
    answers(&format!("[a{}]", ".a".repeat(1_000_000)));
}
