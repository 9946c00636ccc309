//! What a person sees and types: colour, the line that is being typed, lines that appear above it, questions.
//!
//! Chat text goes to stdout and everything else to stderr. Only when both ends are a terminal is there a line editor, and
//! then all output goes through it, so that nothing tears the line being typed.

use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::sync::OnceLock;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use landline_services::limits::CHAT_TEXT_MAX;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use rustyline::error::ReadlineError;
use rustyline::{Config, DefaultEditor, ExternalPrinter};

use crate::failure::{Exit, Failure, Result};

/// Typed or piped lines that may wait to be sent: more than a person pastes; a pipe is read no faster than it drains.
const LINE_COUNT_MAX: usize = 256;

/// Something from stdin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// A line, without its end.
    Line(String),
    /// A line that cannot be sent, and why.
    BadLine(&'static str),
    /// No more lines.
    End,
    /// Ctrl-C, typed in the line editor.
    Interrupt,
}

/// Whether both stdin and stdout are a terminal, so that lines can be edited.
pub(crate) fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Whether a person can be asked.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Columns of the terminal that stderr is, if it is one.
pub(crate) fn stderr_width() -> Option<usize> {
    let stderr = io::stderr();
    let size = stderr.is_terminal().then(|| tcgetwinsize(&stderr).ok()).flatten()?;
    Some(usize::from(size.ws_col).max(20))
}

/// Asks a question that is answered with yes or no; no is what silence means.
pub(crate) fn ask(question: &str) -> Result<bool> {
    let mut stderr = io::stderr().lock();
    write!(stderr, "{question} [y/N] ")?;
    stderr.flush()?;
    let mut answer = String::new();
    // An answer is short; what is longer is none.
    io::stdin().lock().take(256).read_line(&mut answer)?;
    Ok(is_yes(&answer) == Some(true))
}

/// What an answer says, if it is one.
pub(crate) fn is_yes(answer: &str) -> Option<bool> {
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Some(true),
        "n" | "no" => Some(false),
        _ => None,
    }
}

static ORIGINAL: OnceLock<Termios> = OnceLock::new();

/// Gives the terminal back as it was before the line editor, from wherever the process ends.
pub(crate) fn restore() {
    if let Some(original) = ORIGINAL.get() {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, original);
        eprintln!();
    }
}

/// Where lines are shown: above the line being typed if there is one, else on stdout and stderr.
pub(crate) struct Screen {
    printer: Option<Box<dyn ExternalPrinter + Send>>,
}

impl Screen {
    /// Without a line editor.
    pub(crate) fn plain() -> Self {
        Self { printer: None }
    }

    /// Shows a line of chat.
    pub(crate) fn text(&mut self, line: &str) -> io::Result<()> {
        match &mut self.printer {
            Some(printer) => printer.print(format!("{line}\n")).map_err(io::Error::other),
            None => {
                let mut stdout = io::stdout().lock();
                writeln!(stdout, "{line}")?;
                stdout.flush()
            }
        }
    }

    /// Shows what is no chat: who came, what was saved.
    pub(crate) fn note(&mut self, line: &str) -> io::Result<()> {
        match &mut self.printer {
            Some(printer) => printer.print(format!("* {line}\n")).map_err(io::Error::other),
            None => writeln!(io::stderr(), "{line}"),
        }
    }
}

/// Reads stdin from a thread of its own: with a line editor on a terminal, else line by line.
pub(crate) fn read_lines() -> Result<(Screen, Receiver<Input>)> {
    let (sender, receiver) = bounded(LINE_COUNT_MAX);
    let thread = thread::Builder::new().name("input".to_owned());
    if !is_interactive() {
        thread.spawn(move || read_pipe(io::stdin().lock(), &sender)).map_err(cannot_read)?;
        return Ok((Screen::plain(), receiver));
    }
    if let Ok(original) = tcgetattr(io::stdin()) {
        let _ = ORIGINAL.set(original);
    }
    let config = Config::builder().auto_add_history(true).build();
    let mut editor = DefaultEditor::with_config(config).map_err(cannot_read)?;
    let printer = editor.create_external_printer().map_err(cannot_read)?;
    thread.spawn(move || read_editor(editor, &sender)).map_err(cannot_read)?;
    Ok((Screen { printer: Some(Box::new(printer)) }, receiver))
}

fn cannot_read(error: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Failed, format!("cannot read from the terminal: {error}"))
}

fn read_editor(mut editor: DefaultEditor, sender: &Sender<Input>) {
    loop {
        let input = match editor.readline("> ") {
            Ok(line) if line.len() > CHAT_TEXT_MAX => Input::BadLine("it is longer than 16 KiB"),
            Ok(line) => Input::Line(line),
            Err(ReadlineError::Interrupted) => Input::Interrupt,
            Err(_) => Input::End,
        };
        let is_last = matches!(input, Input::End | Input::Interrupt);
        if sender.send(input).is_err() || is_last {
            return;
        }
    }
}

/// Reads lines in bounded memory: what is longer than a line of chat may be is dropped up to its end.
fn read_pipe(mut stdin: impl BufRead, sender: &Sender<Input>) {
    loop {
        let input = next_line(&mut stdin).unwrap_or(Input::End);
        let is_last = input == Input::End;
        if sender.send(input).is_err() || is_last {
            return;
        }
    }
}

fn next_line(stdin: &mut impl BufRead) -> io::Result<Input> {
    let mut line = Vec::new();
    let limit = CHAT_TEXT_MAX as u64 + 2;
    if stdin.take(limit).read_until(b'\n', &mut line)? == 0 {
        return Ok(Input::End);
    }
    let is_whole = line.last() == Some(&b'\n');
    while line.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        line.pop();
    }
    if line.len() > CHAT_TEXT_MAX {
        if !is_whole {
            stdin.skip_until(b'\n')?;
        }
        return Ok(Input::BadLine("it is longer than 16 KiB"));
    }
    Ok(String::from_utf8(line).map_or(Input::BadLine("it is not UTF-8"), Input::Line))
}

/// Colours for a stream that is a terminal, and nothing for one that is not or where `NO_COLOR` is set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    is_on: bool,
}

impl Style {
    /// For stdout.
    pub(crate) fn stdout() -> Self {
        let asked_not = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self { is_on: io::stdout().is_terminal() && !asked_not && !is_dumb }
    }

    /// What matters most.
    pub(crate) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// What explains.
    pub(crate) fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    /// What is good.
    pub(crate) fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }

    /// What is bad.
    pub(crate) fn bad(self, text: &str) -> String {
        self.wrap("1;31", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.is_on { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Vec<Input> {
        let (sender, receiver) = bounded(100);
        read_pipe(bytes, &sender);
        drop(sender);
        receiver.iter().collect()
    }

    #[test]
    fn piped_lines_come_one_by_one() {
        let line = |text: &str| Input::Line(text.to_owned());
        assert_eq!(lines(b""), [Input::End]);
        assert_eq!(lines(b"a\r\n\nlast"), [line("a"), line(""), line("last"), Input::End]);
    }

    #[test]
    fn a_line_that_cannot_be_sent_does_not_take_others_with_it() {
        let longest = "x".repeat(CHAT_TEXT_MAX);
        let input = format!("{longest}\n{longest}y\n{}\nafter\n", "z".repeat(5 * CHAT_TEXT_MAX));
        let too_long = Input::BadLine("it is longer than 16 KiB");
        let expected = [Input::Line(longest), too_long.clone(), too_long, Input::Line("after".into()), Input::End];
        assert!(lines(input.as_bytes()) == expected);
        assert_eq!(lines(b"\xff\n"), [Input::BadLine("it is not UTF-8"), Input::End]);
    }

    #[test]
    fn only_yes_is_yes() {
        assert_eq!((is_yes(" Y\n"), is_yes("no"), is_yes("yes please")), (Some(true), Some(false), None));
    }

    #[test]
    fn colour_is_off_where_nobody_wants_it() {
        assert_eq!(Style { is_on: false }.bold("x"), "x");
        assert_eq!(Style { is_on: true }.bold("x"), "\u{1b}[1mx\u{1b}[0m");
    }
}
