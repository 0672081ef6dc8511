//! HTML that is well-formed in one respect: text of unknown origin is never markup.
//!
//! Owns [`Markup`]. What is not written in our own source can only come in as text, and is escaped
//! there (HTML Living Standard §13.1.2), controls and marks that turn text around included.
//! Refuses to know what is on a page.

use crate::log::plain;

/// A piece of a page.
#[derive(Clone, Debug, Default)]
pub(super) struct Markup(String);

impl Markup {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Text of whatever origin.
    pub(super) fn of(text: &str) -> Self {
        Self::new().text(text)
    }

    /// More markup of ours.
    #[must_use]
    pub(super) fn raw(mut self, markup: &'static str) -> Self {
        self.0.push_str(markup);
        self
    }

    /// More text of whatever origin, also within the quotes of an attribute.
    #[must_use]
    pub(super) fn text(mut self, text: &str) -> Self {
        for letter in plain(text).chars() {
            match letter {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                letter => self.0.push(letter),
            }
        }
        self
    }

    /// More of a page.
    #[must_use]
    pub(super) fn add(mut self, more: &Self) -> Self {
        self.0.push_str(&more.0);
        self
    }

    /// More of a page, for each of `items`.
    #[must_use]
    pub(super) fn each<T>(
        self,
        items: impl IntoIterator<Item = T>,
        piece: impl Fn(Self, T) -> Self,
    ) -> Self {
        items.into_iter().fold(self, piece)
    }

    /// An element of this class around `inner`.
    #[must_use]
    pub(super) fn element(self, tag: &'static str, class: &'static str, inner: &Self) -> Self {
        self.raw("<")
            .raw(tag)
            .raw(" class=\"")
            .raw(class)
            .raw("\">")
            .add(inner)
            .raw("</")
            .raw(tag)
            .raw(">")
    }

    /// The page.
    pub(super) fn into_text(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_never_markup() {
        let evil = "</td><script src=\"//x\" onload='y'>&lt;\u{202e}\u{0}";
        let page = Markup::of(evil).into_text();
        let expected = "&lt;/td&gt;&lt;script src=&quot;//x&quot; onload=&#39;y&#39;&gt;&amp;lt;\
                        \\u{202e}\\u{0}";
        assert_eq!(page, expected);
    }
}
