//! Text in columns for a terminal: columns go where the width does not suffice, then the ends of
//! names.
//!
//! What enters: names and cells, of which some come from the traffic. What leaves: lines of equal
//! width, without a character that could steer the terminal.

/// Lines of cells, each with a name at its left.
#[derive(Debug)]
pub struct Grid {
    head: &'static str,
    names: Vec<String>,
    columns: Vec<Column>,
    total: bool,
    /// Columns go rather than that names get shorter than this.
    name_width: usize,
    /// What a bar at the right of each line stands for.
    bars: Option<Vec<u64>>,
}

/// One kind of cell, written out for every line.
#[derive(Debug)]
pub struct Column {
    head: &'static str,
    /// The column with the highest number is the first to go; 0 stays.
    expendable: u8,
    cells: Vec<String>,
    to_the_right: bool,
}

impl Column {
    /// Numbers, at the right of their column. Columns of the highest `expendable` are the first to
    /// go; those of 0 stay.
    pub fn figures(
        head: &'static str,
        expendable: u8,
        cells: impl IntoIterator<Item = String>,
    ) -> Self {
        Self {
            head,
            expendable,
            cells: printable(cells),
            to_the_right: true,
        }
    }

    /// Words, at the left of their column.
    pub fn words(
        head: &'static str,
        expendable: u8,
        cells: impl IntoIterator<Item = String>,
    ) -> Self {
        Self {
            head,
            expendable,
            cells: printable(cells),
            to_the_right: false,
        }
    }

    /// With the gap before it.
    fn width(&self) -> usize {
        longest(&self.cells).max(self.head.len()) + GAP
    }

    fn cell(&self, text: &str) -> String {
        let (gap, width) = (" ".repeat(GAP), self.width() - GAP);
        if self.to_the_right {
            format!("{gap}{text:>width$}")
        } else {
            format!("{gap}{text:<width$}")
        }
    }
}

impl Grid {
    /// A grid whose lines have these names, under this head.
    pub fn new(head: &'static str, names: impl IntoIterator<Item = String>) -> Self {
        Self {
            head,
            names: printable(names),
            columns: Vec::new(),
            total: false,
            name_width: NAME_WIDTH,
            bars: None,
        }
    }

    /// Adds a column at the right.
    #[must_use]
    pub fn column(mut self, column: Column) -> Self {
        self.columns.push(column);
        self
    }

    /// Names are ids: their beginnings tell them apart, so that they are shortened before a column
    /// goes.
    #[must_use]
    pub fn with_ids(mut self) -> Self {
        self.name_width = ID_WIDTH;
        self
    }

    /// The last line is the sum of the others: a rule parts it from them.
    #[must_use]
    pub fn with_total(mut self) -> Self {
        self.total = true;
        self
    }

    /// A bar at the right of each line that has a figure here, in proportion to it, where the width
    /// leaves room for one.
    #[must_use]
    pub fn with_bars(mut self, figures: impl IntoIterator<Item = u64>) -> Self {
        self.bars = Some(figures.into_iter().collect());
        self
    }

    /// The lines, at most `width` columns wide where that can be; every line ends with a newline.
    #[must_use]
    pub fn render(mut self, width: usize) -> String {
        self.fit(width);
        self.draw_bars(width);
        let cells: usize = self.columns.iter().map(Column::width).sum();
        let name_width = longest(&self.names)
            .max(self.head.len())
            .min(width.saturating_sub(cells))
            .max(self.head.len());

        let rule = format!("{}\n", "─".repeat(name_width + cells));
        let mut text = self.line(self.head, name_width, |column| column.head);
        text.push_str(&rule);
        for (index, name) in self.names.iter().enumerate() {
            if self.total && index + 1 == self.names.len() {
                text.push_str(&rule);
            }
            text.push_str(&self.line(name, name_width, |column| {
                column.cells.get(index).map_or("", String::as_str)
            }));
        }
        text
    }

    fn fit(&mut self, width: usize) {
        let most = self
            .columns
            .iter()
            .map(|column| column.expendable)
            .max()
            .unwrap_or_default();
        let name_width = longest(&self.names)
            .max(self.head.len())
            .min(self.name_width);
        for expendable in (1..=most).rev() {
            let needed = name_width + self.columns.iter().map(Column::width).sum::<usize>();
            if needed > width {
                self.columns
                    .retain(|column| column.expendable != expendable);
            }
        }
    }

    /// Turns the figures of bars into a column that takes what the others have left.
    fn draw_bars(&mut self, width: usize) {
        let Some(figures) = self.bars.take() else {
            return;
        };
        let others = longest(&self.names).max(self.head.len())
            + self.columns.iter().map(Column::width).sum::<usize>();
        let left = width.saturating_sub(others + GAP).min(MAX_BAR);
        if left >= MIN_BAR {
            let most = figures.iter().copied().max().unwrap_or_default();
            let bars = figures.iter().map(|figure| bar(*figure, most, left));
            self.columns.push(Column::words("", 0, bars));
        }
    }

    fn line<'a>(
        &'a self,
        name: &str,
        name_width: usize,
        cell: impl Fn(&'a Column) -> &'a str,
    ) -> String {
        let mut text = format!("{:<name_width$}", shortened(name, name_width));
        self.columns
            .iter()
            .for_each(|column| text.push_str(&column.cell(cell(column))));
        text.push('\n');
        text
    }
}

/// A bar that is `width` long for the most there is; what is more than nothing is seen.
fn bar(figure: u64, most: u64, width: usize) -> String {
    let longest = width as u128 * EIGHTHS.len() as u128;
    let eighths = (u128::from(figure) * longest)
        .checked_div(u128::from(most))
        .unwrap_or_default();
    let eighths = usize::try_from(eighths)
        .unwrap_or_default()
        .max(usize::from(figure > 0));
    let (whole, part) = (eighths / EIGHTHS.len(), eighths % EIGHTHS.len());
    let end = part.checked_sub(1).and_then(|part| EIGHTHS.get(part));
    std::iter::repeat_n('█', whole)
        .chain(end.copied())
        .collect()
}

/// A text from the traffic must not steer the terminal.
fn printable(texts: impl IntoIterator<Item = String>) -> Vec<String> {
    let checked = |text: String| {
        if text.chars().any(char::is_control) {
            "(unprintable)".to_owned()
        } else {
            text
        }
    };
    texts.into_iter().map(checked).collect()
}

fn shortened(name: &str, width: usize) -> String {
    if name.chars().count() <= width {
        return name.to_owned();
    }
    name.chars()
        .take(width.saturating_sub(1))
        .chain(['…'])
        .collect()
}

fn longest(texts: &[String]) -> usize {
    texts
        .iter()
        .map(|text| text.chars().count())
        .max()
        .unwrap_or_default()
}

/// Shorter names of models are not told apart.
const NAME_WIDTH: usize = 24;
/// As much of an id as a person compares.
const ID_WIDTH: usize = 12;
/// Spaces between two columns.
const GAP: usize = 2;
/// Where bars are shorter than this, they tell nothing; where they are longer, nothing more.
const MIN_BAR: usize = 8;
const MAX_BAR: usize = 60;
/// Blocks of one eighth to eight eighths.
const EIGHTHS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(cells: &[&str]) -> Vec<String> {
        cells.iter().map(|cell| (*cell).to_owned()).collect()
    }

    fn grid() -> Grid {
        Grid::new("ID", texts(&["179c837c-8253-4105-902c-d37299fc89d0", "b"]))
            .column(Column::words("STATE", 0, texts(&["running", "idle"])))
            .column(Column::words("MODEL", 2, texts(&["gemini", ""])))
            .column(Column::figures("CALLS", 1, texts(&["12", "3"])))
    }

    #[test]
    fn words_stand_left_and_figures_right() {
        let expected = "\
ID                                    STATE    MODEL   CALLS
────────────────────────────────────────────────────────────
179c837c-8253-4105-902c-d37299fc89d0  running  gemini     12
b                                     idle                 3
";
        assert_eq!(grid().render(80), expected);
    }

    #[test]
    fn columns_go_and_then_the_ends_of_names() {
        let expected = "\
ID                        STATE    CALLS
────────────────────────────────────────
179c837c-8253-4105-902c…  running     12
b                         idle         3
";
        assert_eq!(grid().render(40), expected);
        assert!(!grid().render(39).contains("CALLS"));
    }

    #[test]
    fn no_width_leaves_a_line_broken() {
        for width in 0..90 {
            let text = grid().with_total().render(width);
            let widths: Vec<usize> = text.lines().map(|line| line.chars().count()).collect();
            assert!(
                widths.iter().all(|other| *other == widths[0]) && widths[0] <= width.max(11),
                "{width}: {text}"
            );
        }
    }

    #[test]
    fn bars_are_in_proportion_and_take_what_is_left() {
        let grid = || {
            let calls = Column::figures("CALLS", 1, texts(&["8", "4", "1", "0"]));
            Grid::new("DAY", texts(&["a", "b", "c", "d"]))
                .column(calls)
                .with_bars([1600, 800, 1, 0])
        };
        let expected = "\
DAY  CALLS          
────────────────────
a        8  ████████
b        4  ████    
c        1  ▏       
d        0          
";
        assert_eq!(grid().render(20), expected);
        assert_eq!(grid().render(30).matches('█').count(), 27);
        assert_eq!(grid().render(500).matches('█').count(), 90);
        assert!(!grid().render(12).contains('█'), "no room");
        assert!(
            !grid()
                .with_bars([0, 0, 0, 0])
                .render(80)
                .contains(['█', '▏'])
        );
        for width in 0..90 {
            let text = grid().with_total().render(width);
            let widths: Vec<usize> = text.lines().map(|line| line.chars().count()).collect();
            assert!(
                widths.iter().all(|other| *other == widths[0]) && widths[0] <= width.max(11),
                "{width}: {text}"
            );
        }
    }

    #[test]
    fn neither_names_nor_words_steer_the_terminal() {
        let grid = Grid::new("ID", texts(&["\x1b[2J"])).column(Column::words(
            "MODEL",
            0,
            texts(&["\x07"]),
        ));
        assert!(!grid.render(80).contains(['\x1b', '\x07']));
    }
}
