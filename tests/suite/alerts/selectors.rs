//! What the rules look at: each metric that an expression names, with what it wants of its labels.
//!
//! Knows of PromQL as much as the rules here need: a selector is a name with braces behind it or
//! without, and its matchers are divided by a comma and a blank.

/// A metric in an expression.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Selector {
    /// The name, as it stands there.
    pub(super) metric: String,
    /// What is wanted of its labels.
    pub(super) matchers: Vec<Matcher>,
}

/// A label that has to be, or not to be, as a value says.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Matcher {
    pub(super) label: String,
    operator: String,
    value: String,
}

impl Selector {
    /// The selector itself, as a query.
    pub(super) fn query(&self) -> String {
        let matchers: Vec<_> = self.matchers.iter().map(Matcher::text).collect();
        format!("{}{{{}}}", self.metric, matchers.join(", "))
    }
}

impl Matcher {
    fn text(&self) -> String {
        format!("{}{}\"{}\"", self.label, self.operator, self.value)
    }

    /// Each value that it names, as a matcher that finds it.
    pub(super) fn each(&self) -> impl Iterator<Item = String> {
        self.value.split('|').map(|value| format!("{}=~\"{value}\"", self.label))
    }
}

/// Every selector in the expressions of `rules`.
pub(super) fn selectors(rules: &str) -> Vec<Selector> {
    let mut found = Vec::new();
    for line in rules.lines().filter(|line| !is_about_people(line)) {
        let mut rest = line;
        while let Some(begin) = rest.find(is_of_name) {
            let from = &rest[begin..];
            let (word, behind) = from.split_at(from.find(not_of_name).unwrap_or(from.len()));
            rest = behind;
            if word.contains("portunus_") || word.starts_with("process_") {
                let inner = behind.strip_prefix('{').and_then(|behind| behind.split('}').next());
                let matchers = inner.into_iter().flat_map(|inner| inner.split(", ")).map(matcher);
                found.push(Selector { metric: word.to_owned(), matchers: matchers.collect() });
            }
        }
    }
    found
}

fn matcher(text: &str) -> Matcher {
    let (label, value) = text.split_once('"').expect("a value is in quotes");
    let operator = label.find(not_of_name).expect("an operator is in between");
    let (label, operator) = label.split_at(operator);
    let value = value.trim_end_matches('"');
    Matcher { label: label.to_owned(), operator: operator.to_owned(), value: value.to_owned() }
}

/// Whether the line is none of an expression.
fn is_about_people(line: &str) -> bool {
    let starts = ["#", "summary:", "description:", "runbook_url:", "- name:", "- record:"];
    starts.iter().any(|start| line.trim().starts_with(start))
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

fn not_of_name(c: char) -> bool {
    !is_of_name(c)
}

#[test]
fn selectors_are_found_with_their_matchers() {
    let rules =
        "# portunus_not\nexpr: sum(rate(portunus_a{b=~\"c|d\", e!=\"f\"}[5m])) > portunus_g\n";
    let found = selectors(rules);
    assert_eq!(found[0].query(), "portunus_a{b=~\"c|d\", e!=\"f\"}");
    assert_eq!(found[0].matchers[0].each().collect::<Vec<_>>(), ["b=~\"c\"", "b=~\"d\""]);
    assert_eq!((found.len(), found[1].query().as_str()), (2, "portunus_g{}"));
}
