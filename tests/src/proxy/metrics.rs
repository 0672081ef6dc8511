//! Prometheus' text format, as far as a test reads it.
//!
//! Owns the sum of series; refuses to know any name.

/// The sum of all series of `name` that have these labels.
pub(super) fn sum(text: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    let series = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let (found, value) = match rest.strip_prefix('{') {
            Some(rest) => rest.rsplit_once('}')?,
            None => ("", rest),
        };
        let has = |(label, value): &(&str, &str)| {
            let pair = format!("{label}=\"{value}\"");
            found.split(',').any(|one| one == pair)
        };
        // A longer name has more than a space here, and is not a number.
        value.strip_prefix(' ')?.trim().parse::<f64>().ok().filter(|_| labels.iter().all(has))
    });
    series.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_with_the_labels_are_added_up() {
        let text =
            "# HELP a b\na{x=\"1\",y=\"2\"} 3\na{x=\"1\",y=\"3\"} 4\na{x=\"2\"} 5\nab 6\nb 7\n";
        assert!((sum(text, "a", &[]) - 12.0).abs() < f64::EPSILON);
        assert!((sum(text, "a", &[("x", "1")]) - 7.0).abs() < f64::EPSILON);
        assert!((sum(text, "a", &[("y", "3"), ("x", "1")]) - 4.0).abs() < f64::EPSILON);
        assert!((sum(text, "b", &[]) - 7.0).abs() < f64::EPSILON);
        assert!(sum(text, "c", &[]).abs() < f64::EPSILON);
    }
}
