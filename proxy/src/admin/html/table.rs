//! Tables and lists that stay readable: a few rows are seen, the others can be unfolded.
//!
//! Owns the columns, and what becomes of a table on a narrow screen: there each row is a card, and
//! each cell says by itself what it is. Refuses to know what stands in it.

use super::markup::Markup;
use super::words::{count, prose};

/// A column.
#[derive(Clone, Copy, Debug)]
pub(super) enum Column {
    /// Of words.
    Words(&'static str),
    /// Of numbers, which are compared from one row to the next.
    Numbers(&'static str),
}

use Column::{Numbers, Words};

impl Column {
    fn head(self) -> &'static str {
        let (Words(head) | Numbers(head)) = self;
        head
    }
}

/// The table of `name`, whose first column says what the row is about. No more than `shown` rows
/// are seen at first.
pub(super) fn table<const N: usize>(
    name: &'static str,
    columns: [Column; N],
    rows: &[[Markup; N]],
    shown: usize,
) -> Markup {
    // One more row takes no more room than the words that hide it.
    let shown = if rows.len() <= shown + 1 { rows.len() } else { shown };
    let (seen, folded) = rows.split_at(shown);
    let page = plain_table(name, columns, seen);
    if folded.is_empty() {
        return page;
    }
    page.raw("<details><summary>Show ")
        .text(&count(folded.len() as i64))
        .raw(" more</summary>")
        .add(&plain_table(name, columns, folded))
        .raw("</details>")
}

/// Sentences, a line each, of which no more than `shown` are seen at first.
pub(super) fn points(lines: &[&str], shown: usize) -> Markup {
    let list = |lines: &[&str]| {
        let point = |page: Markup, line: &&str| page.raw("<li>").add(&prose(line)).raw("</li>");
        Markup::new().raw("<ul>").each(lines, point).raw("</ul>")
    };
    match lines.split_at(lines.len().min(shown)) {
        ([], _) => Markup::new(),
        (seen, []) => list(seen),
        (seen, folded) => list(seen)
            .raw("<details><summary>Show ")
            .text(&count(folded.len() as i64))
            .raw(" more</summary>")
            .add(&list(folded))
            .raw("</details>"),
    }
}

fn plain_table<const N: usize>(
    name: &'static str,
    columns: [Column; N],
    rows: &[[Markup; N]],
) -> Markup {
    let head = |page: Markup, column: Column| {
        let page = match column {
            Words(_) => page.raw("<th scope=\"col\">"),
            Numbers(_) => page.raw("<th scope=\"col\" class=\"n\">"),
        };
        page.raw(column.head()).raw("</th>")
    };
    Markup::new()
        .raw("<table aria-label=\"")
        .raw(name)
        .raw("\"><thead><tr>")
        .each(columns, head)
        .raw("</tr></thead><tbody>")
        .each(rows, |page, row| page.raw("<tr>").add(&cells(columns, row)).raw("</tr>"))
        .raw("</tbody></table>")
}

fn cells<const N: usize>(columns: [Column; N], row: &[Markup; N]) -> Markup {
    let cell = |page: Markup, (place, (column, cell)): (usize, (Column, &Markup))| {
        let (begin, end) = match (place, column) {
            (0, _) => ("<th scope=\"row\"", "</th>"),
            (_, Words(_)) => ("<td", "</td>"),
            (_, Numbers(_)) => ("<td class=\"n\"", "</td>"),
        };
        let page = page.raw(begin);
        let page = if place == 0 {
            page.raw(">")
        } else {
            page.raw(" data-head=\"").raw(column.head()).raw("\">")
        };
        // An empty cell is not read out, and leaves no gap in a card.
        page.add(cell).raw(end)
    };
    Markup::new().each(columns.into_iter().zip(row).enumerate(), cell)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(rows: usize) -> String {
        let rows: Vec<_> = (0..rows).map(|row| [Markup::of(&row.to_string())]).collect();
        table("t", [Words("a")], &rows, 3).into_text()
    }

    #[test]
    fn a_long_table_is_folded_and_nothing_of_it_is_lost() {
        assert!(!made(4).contains("<details>"));
        let long = made(1500);
        let (seen, folded) = long.split_once("<details><summary>Show 1,497 more").unwrap();
        assert!(seen.contains("<th scope=\"row\">2</th>") && !seen.contains(">3<"));
        assert!(folded.contains(">3<") && folded.contains(">1499<"));
    }
}
