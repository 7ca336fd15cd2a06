//! A source file as the rules see it: tokens, then the paths among them.

/// A source file, as the rules see it.
pub(crate) struct Source {
    /// From the repository's root, with `/`.
    pub(crate) path: String,
    pub(crate) lines: usize,
    /// Where it sits in its crate: `nn/losses.rs` is `[nn, losses]`, `nn/mod.rs` is `[nn]`.
    pub(crate) modules: Vec<String>,
    pub(crate) mentions: Vec<Mention>,
}

/// A path in the code, `a::b::c`, or one of those that a group `a::{b, c}` stands for.
pub(crate) struct Mention {
    pub(crate) line: usize,
    pub(crate) in_test: bool,
    pub(crate) segments: Vec<String>,
    /// What it is called here: the last segment, or the name after `as`.
    pub(crate) name: String,
    /// The path from the crate's root, where the code says `crate`, `self` or `super`.
    pub(crate) absolute: Option<Vec<String>>,
}

struct Token {
    text: String,
    line: usize,
    in_test: bool,
}

impl Source {
    pub(crate) fn read(path: &str, text: &str) -> Self {
        let inside = path.split_once("/src/").map_or(path, |(_, inside)| inside).trim_end_matches(".rs");
        let mut modules: Vec<String> = inside.split('/').map(String::from).collect();
        modules.pop_if(|last| ["mod", "lib", "main"].contains(&last.as_str()));
        let mut tokens = tokens(text);
        mark_tests(&mut tokens, modules.last().is_some_and(|last| last == "tests"));
        let mentions = mentions(&tokens, &modules);
        Source { path: path.into(), lines: text.lines().count(), modules, mentions }
    }

    pub(crate) fn complain(&self, line: usize, text: String) -> String {
        format!("{}:{line}: {text}", self.path)
    }
}

/// Identifiers, `::` and single characters; no comments, strings, characters, numbers and lifetimes.
fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let (mut tokens, mut line, mut i) = (Vec::new(), 1, 0);
    while i < chars.len() {
        let (start, first_line) = (i, line);
        let mut token = None;
        match at(i) {
            '/' if at(i + 1) == '/' => {
                while i < chars.len() && at(i) != '\n' {
                    i += 1;
                }
            }
            '/' if at(i + 1) == '*' => {
                let mut depth = 0;
                loop {
                    match (at(i), at(i + 1)) {
                        ('/', '*') => (depth, i) = (depth + 1, i + 2),
                        ('*', '/') => (depth, i) = (depth - 1, i + 2),
                        _ => i += 1,
                    }
                    if depth == 0 || i >= chars.len() {
                        break;
                    }
                }
            }
            '"' => i = end_of_string(&chars, i),
            '\'' if at(i + 1) == '\\' || at(i + 2) == '\'' => {
                i += if at(i + 1) == '\\' { 3 } else { 2 };
                while i < chars.len() && at(i) != '\'' {
                    i += 1;
                }
                i += 1;
            }
            '\'' => i += 1 + chars[i + 1..].iter().take_while(|c| is_word(**c)).count(),
            ':' if at(i + 1) == ':' => (token, i) = (Some("::".to_string()), i + 2),
            c if is_word(c) => {
                i += chars[i..].iter().take_while(|c| is_word(**c)).count();
                let word: String = chars[start..i].iter().collect();
                let hashes = chars[i..].iter().take_while(|c| **c == '#').count();
                if ["r", "br", "cr"].contains(&word.as_str()) && at(i + hashes) == '"' {
                    i = end_of_raw_string(&chars, i, hashes);
                } else if word == "r" && hashes == 1 && is_word(at(i + 1)) {
                    i += 1; // r#name: the name comes next
                } else {
                    let string_prefix = at(i) == '"' && ["b", "c"].contains(&word.as_str());
                    token = Some(word).filter(|_| !string_prefix && !c.is_ascii_digit());
                }
            }
            c => {
                token = (!c.is_whitespace()).then(|| c.to_string());
                i += 1;
            }
        }
        line += chars[start..i.min(chars.len())].iter().filter(|c| **c == '\n').count();
        tokens.extend(token.map(|text| Token { text, line: first_line, in_test: false }));
    }
    tokens
}

fn end_of_string(chars: &[char], quote: usize) -> usize {
    let mut i = quote + 1;
    while i < chars.len() && chars[i] != '"' {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    i + 1
}

fn end_of_raw_string(chars: &[char], hash: usize, hashes: usize) -> usize {
    let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let inside = hash + hashes + 1;
    let length = chars[inside..].windows(end.len()).position(|window| window == end);
    length.map_or(chars.len(), |length| inside + length + end.len())
}

/// Marks what `#[cfg(test)]` or `#[cfg(all(test, …))]` stands before, or everything after `#![cfg(test)]`.
fn mark_tests(tokens: &mut [Token], everything: bool) {
    let starts = |tokens: &[Token], i: usize, words: &[&str]| {
        tokens.len() >= i + words.len() && tokens[i..].iter().zip(words).all(|(t, w)| t.text == *w)
    };
    for i in 0..tokens.len() {
        if everything || starts(tokens, i, &["#", "!", "[", "cfg", "(", "test", ")"]) {
            return tokens[i..].iter_mut().for_each(|token| token.in_test = true);
        }
        let attribute = starts(tokens, i, &["#", "[", "cfg", "(", "test", ")", "]"])
            || starts(tokens, i, &["#", "[", "cfg", "(", "all", "(", "test"]);
        if !attribute {
            continue;
        }
        let mut depth = 0;
        for token in &mut tokens[i..] {
            token.in_test = true;
            depth += match token.text.as_str() {
                "(" | "[" | "{" => 1,
                ")" | "]" | "}" => -1,
                _ => 0,
            };
            let ends = (token.text == ";" || token.text == "}") && depth == 0;
            if ends || depth < 0 {
                break;
            }
        }
    }
}

/// Every path in the code, with groups taken apart.
fn mentions(tokens: &[Token], modules: &[String]) -> Vec<Mention> {
    let (mut mentions, mut i) = (Vec::new(), 0);
    let mut braces: Vec<Option<String>> = Vec::new();
    while i < tokens.len() {
        match tokens[i].text.as_str() {
            "{" => {
                let named = i >= 2 && tokens[i - 2].text == "mod";
                braces.push(named.then(|| tokens[i - 1].text.clone()));
                i += 1;
            }
            "}" => {
                braces.pop();
                i += 1;
            }
            text if is_name(text) => {
                let here: Vec<String> = modules.iter().chain(braces.iter().flatten()).cloned().collect();
                i = take_path(tokens, i, &[], &here, &mut mentions);
            }
            _ => i += 1,
        }
    }
    mentions
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Reads one path that continues `prefix`, pushes what it stands for and returns where it ends.
fn take_path(
    tokens: &[Token],
    from: usize,
    prefix: &[String],
    here: &[String],
    out: &mut Vec<Mention>,
) -> usize {
    let text = |i: usize| tokens.get(i).map_or("", |token| token.text.as_str());
    let mut segments = prefix.to_vec();
    let mut i = from;
    while is_name(text(i)) || text(i) == "*" {
        segments.push(text(i).into());
        i += 1;
        if text(i) != "::" {
            break;
        }
        i += 1;
        if text(i) == "{" {
            i += 1;
            while i < tokens.len() && text(i) != "}" {
                let named = is_name(text(i)) || text(i) == "*";
                i = if named { take_path(tokens, i, &segments, here, out) } else { i + 1 };
            }
            return i + 1;
        }
    }
    if segments.len() > 1 {
        segments.pop_if(|last| last == "self");
    }
    let alias = text(i) == "as" && is_name(text(i + 1));
    let name = if alias { text(i + 1) } else { segments.last().map_or("", String::as_str) }.to_string();
    let Token { line, in_test, .. } = tokens[from];
    let absolute = absolute(&segments, here);
    out.push(Mention { line, in_test, segments, name, absolute });
    if alias && !prefix.is_empty() { i + 2 } else { i }
}

/// The path from the crate's root; `None` for one that starts with another name.
fn absolute(segments: &[String], here: &[String]) -> Option<Vec<String>> {
    let up = segments.iter().take_while(|segment| *segment == "super").count();
    let (base, rest) = match segments.first()?.as_str() {
        "crate" if segments.len() > 1 => (&here[..0], &segments[1..]),
        "self" if segments.len() > 1 => (here, &segments[1..]),
        "super" => (&here[..here.len().saturating_sub(up)], &segments[up..]),
        _ => return None,
    };
    Some(base.iter().chain(rest).cloned().collect())
}
