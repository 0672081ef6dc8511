//! Rules for which time passes faster.
//!
//! Every duration of every rule is divided by one number: ranges, offsets, and how long something
//! has to last. Nothing else of the text is touched: a number of seconds that is compared with is
//! not a duration of the rule, but of what it is about.

/// The same rules, with every duration `factor` times as short.
pub(super) fn rules(text: &str, factor: u64) -> String {
    let mut faster = String::new();
    let mut rest = text;
    while let Some(begin) =
        MARKS.iter().filter_map(|mark| Some(rest.find(mark)? + mark.len())).min()
    {
        let (before, behind) = rest.split_at(begin);
        faster += before;
        rest = behind;
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, unit) = rest.split_at(digits);
        let millis = UNITS.iter().find(|(name, _)| unit.starts_with(name));
        if let (Ok(number), Some((name, millis))) = (number.parse::<u64>(), millis) {
            faster += &format!("{}ms", number * millis / factor);
            rest = &unit[name.len()..];
        }
    }
    faster + rest
}

/// What stands before a duration.
const MARKS: &[&str] = &["[", "for: ", "offset "];

const UNITS: &[(&str, u64)] = &[("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

#[test]
fn durations_are_shorter_and_all_else_stays() {
    let text = "expr: rate(a{b=\"[x]\"}[5m]) > 0.5 * rate(a[1h] offset 30m) + 86400\nfor: 1m\n";
    let twice = "expr: rate(a{b=\"[x]\"}[150000ms]) > 0.5 * rate(a[1800000ms] offset 900000ms) + \
                 86400\nfor: 30000ms\n";
    assert_eq!(rules(text, 2), twice);
    assert_eq!(rules("for: 0m\nlabels:", 7), "for: 0ms\nlabels:");
}
