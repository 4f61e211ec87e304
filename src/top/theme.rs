//! The styles of the screen, with colours or without.

use ratatui::style::{Color, Modifier, Style};

/// How things look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Theme {
    has_colour: bool,
    /// Everything is grey: what is shown is not of now.
    is_stale: bool,
}

impl Theme {
    /// With colours, unless there is a `NO_COLOR` that is not empty, as <https://no-color.org> asks.
    pub(crate) fn new(no_color: Option<&std::ffi::OsStr>) -> Self {
        Self {
            has_colour: no_color.is_none_or(std::ffi::OsStr::is_empty),
            is_stale: false,
        }
    }

    /// The same in grey.
    pub(super) fn stale(self) -> Self {
        Self {
            is_stale: true,
            ..self
        }
    }

    /// Text without a meaning of its own.
    pub(super) fn plain(self) -> Style {
        if self.is_stale {
            self.coloured(Color::DarkGray).add_modifier(Modifier::DIM)
        } else {
            Style::new()
        }
    }

    /// Titles and heads.
    pub(super) fn title(self) -> Style {
        self.plain().add_modifier(Modifier::BOLD)
    }

    /// The line on which the keys act, and the view that is open.
    pub(super) fn selected(self) -> Style {
        self.plain().add_modifier(Modifier::REVERSED)
    }

    /// What is as it should be.
    pub(super) fn good(self) -> Style {
        self.meaning(Color::Green)
    }

    /// What is about to be short.
    pub(super) fn warning(self) -> Style {
        self.meaning(Color::Yellow).add_modifier(Modifier::BOLD)
    }

    /// What has failed or is used up.
    pub(super) fn bad(self) -> Style {
        self.meaning(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// A word about the screen itself that must be seen, also on a stale one.
    pub(super) fn alert(self) -> Style {
        self.coloured(Color::Red).add_modifier(Modifier::REVERSED)
    }

    fn meaning(self, colour: Color) -> Style {
        if self.is_stale {
            self.plain()
        } else {
            self.coloured(colour)
        }
    }

    fn coloured(self, colour: Color) -> Style {
        if self.has_colour {
            Style::new().fg(colour)
        } else {
            Style::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_colour_no_style_has_one() {
        let styles = |theme: Theme| {
            [
                theme.plain(),
                theme.title(),
                theme.selected(),
                theme.good(),
                theme.warning(),
                theme.bad(),
                theme.alert(),
            ]
        };
        let without = Theme::new(Some("1".as_ref()));
        for theme in [without, without.stale()] {
            assert!(
                styles(theme)
                    .iter()
                    .all(|style| style.fg.is_none() && style.bg.is_none())
            );
        }
        let with = Theme::new(Some("".as_ref()));
        assert!(styles(with).iter().any(|style| style.fg.is_some()));
        assert_eq!(with, Theme::new(None));
    }
}
