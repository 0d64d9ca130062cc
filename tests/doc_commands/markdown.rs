//! Command lines in Markdown.

use fs_err as fs;

/// A command line of the documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// `FILE:LINE`, for messages.
    pub(crate) place: String,
    pub(crate) command: String,
    /// What the page shows below it.
    pub(crate) output: Vec<String>,
    pub(crate) form: Form,
}

impl Line {
    /// The command line without a comment behind it.
    pub(crate) fn without_comment(&self) -> &str {
        self.command.split_once(" #").map_or(self.command.as_str(), |(command, _)| command).trim_end()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Behind a prompt in a block of code.
    Prompt,
    /// A block that is nothing but commands.
    Indented,
    /// In the middle of a sentence or a table, or of another file's comment.
    Inline,
}

/// Programs whose command lines are looked for where there is no prompt.
const PROGRAMS: [&str; 3] = ["tib", "make", "sudo"];

/// The pages: the README and everything in `docs/`.
pub(crate) fn pages() -> Vec<String> {
    let docs = fs::read_dir("docs").unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<String> = docs.filter_map(|path| path.to_str().map(str::to_owned)).collect();
    pages.retain(|page| page.ends_with(".md"));
    pages.push("README.md".to_owned());
    pages.sort();
    pages
}

/// All command lines of a page, in their order.
pub(crate) fn lines(page: &str) -> Vec<Line> {
    extract(page, &fs::read_to_string(page).unwrap())
}

/// The block of a page that begins with a text.
pub(crate) fn block(page: &str, start: &str) -> String {
    let text = fs::read_to_string(page).unwrap();
    let mut blocks = text.split("```").skip(1).step_by(2).filter_map(|block| Some(block.split_once('\n')?.1));
    blocks
        .find(|block| block.starts_with(start))
        .unwrap_or_else(|| panic!("{page} has no {start}"))
        .to_owned()
}

fn extract(page: &str, text: &str) -> Vec<Line> {
    let mut found: Vec<Line> = Vec::new();
    let mut fence: Option<&str> = None;
    // A sentence may be broken in the middle of a command.
    let mut paragraph = (0, String::new());
    for (number, line) in text.lines().enumerate() {
        let place = format!("{page}:{}", number + 1);
        let add = |found: &mut Vec<Line>, command: &str, form| {
            let (command, output) = (command.trim_end().to_owned(), Vec::new());
            found.push(Line { place: place.clone(), command, output, form });
        };
        let trimmed = line.trim_start();
        let in_text =
            fence.is_none() && !line.is_empty() && !trimmed.starts_with("```") && !line.starts_with("    ");
        if in_text {
            if paragraph.1.is_empty() {
                paragraph.0 = number + 1;
            }
            paragraph.1.push_str(line);
            paragraph.1.push(' ');
            continue;
        }
        inline(page, &mut paragraph, &mut found);
        if let Some(info) = trimmed.strip_prefix("```") {
            fence = fence.is_none().then_some(info);
        } else if let Some(info) = fence {
            match (line.strip_prefix("$ "), line.split_once('#')) {
                (Some(command), _) => add(&mut found, command, Form::Prompt),
                (None, Some((_, comment))) if info == "toml" => {
                    let command = comment.split_once(": ").map_or(comment, |(_, after)| after).trim();
                    if is_command(command) {
                        add(&mut found, command, Form::Inline);
                    }
                }
                (None, _) if info == "toml" => {}
                (None, _) => match found.last_mut() {
                    Some(last) if last.form == Form::Prompt => last.output.push(line.to_owned()),
                    _ => {}
                },
            }
        } else if let Some(command) =
            line.strip_prefix("    ").filter(|line| !line.starts_with([' ', '-', '*']))
        {
            add(&mut found, command, Form::Indented);
        }
    }
    inline(page, &mut paragraph, &mut found);
    found
}

/// Takes the commands out of a paragraph that has come to its end.
fn inline(page: &str, (number, text): &mut (usize, String), found: &mut Vec<Line>) {
    for code in text.split('`').skip(1).step_by(2).filter(|code| is_command(code)) {
        found.push(Line {
            place: format!("{page}:{number}"),
            command: code.to_owned(),
            output: Vec::new(),
            form: Form::Inline,
        });
    }
    text.clear();
}

fn is_command(code: &str) -> bool {
    let mut words = code.split(' ');
    words.next().is_some_and(|program| PROGRAMS.contains(&program)) && words.next().is_some()
}

#[test]
fn commands_are_found_wherever_they_stand() {
    let text = "Say `tib ls` or `tib ls -l\nIMAGE`, not `tib` or `make`.\n\n```console\n$ tib ls x | wc -l    # a count\n17\n\
                $ tib cat x /y\n```\n\n    sudo reboot    # at once\n\n* `make test`\n\n```toml\n# a.toml: tib build ./a.toml\n\
                x = 1 # not tib\n```\n";
    let found = extract("page", text);
    let found: Vec<_> =
        found.iter().map(|line| (line.place.as_str(), line.command.as_str(), line.form)).collect();
    assert_eq!(
        found,
        [
            ("page:1", "tib ls", Form::Inline),
            ("page:1", "tib ls -l IMAGE", Form::Inline),
            ("page:5", "tib ls x | wc -l    # a count", Form::Prompt),
            ("page:7", "tib cat x /y", Form::Prompt),
            ("page:10", "sudo reboot    # at once", Form::Indented),
            ("page:12", "make test", Form::Inline),
            ("page:15", "tib build ./a.toml", Form::Inline),
        ]
    );
    assert_eq!(extract("page", text)[2].output, ["17"]);
}
