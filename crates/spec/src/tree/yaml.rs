//! YAML into the tree. Only what our files need: one document of maps, lists and texts. Anchors,
//! aliases and tags are refused as soon as they are seen, so that nothing can expand.

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::{At, Bounds, Entry, Key, KeyStyle, Node, Stopped, Value};
use crate::code::Code;

/// A list or map that has begun.
enum Open {
    List { start: usize, items: Vec<Node> },
    Map { start: usize, entries: Vec<Entry>, key: Option<Key> },
}

struct Builder {
    bounds: Bounds,
    /// Byte of each character: the YAML reader counts characters.
    bytes: Vec<usize>,
    open: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
}

/// Reads a text.
pub fn read_yaml(text: &str, bounds: Bounds) -> Result<Node, Stopped> {
    let bytes = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let mut builder = Builder { bounds, bytes, open: Vec::new(), root: None, nodes: 0 };
    let mut documents = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let at = builder.byte(error.marker().index());
            explain(error.info(), At { start: at, end: at }, bounds)
        })?;
        if matches!(event, Event::DocumentStart(_)) {
            documents += 1;
            if documents > 1 {
                return Err(Stopped::new(Code::ManyDocuments, builder.at(span)));
            }
        }
        builder.event(event, span)?;
    }
    match builder.root {
        Some(Node { value: Value::Nothing, .. }) | None => {
            Err(Stopped::new(Code::Empty, At { start: 0, end: 0 }))
        }
        Some(root) => Ok(root),
    }
}

/// The commonest slips in words of our own; what else the reader says is passed on.
fn explain(info: &str, at: At, bounds: Bounds) -> Stopped {
    let known = [
        ("unknown anchor", Code::Anchor),
        ("tabs disallowed", Code::YamlTab),
        ("mapping values are not allowed", Code::YamlColon),
        ("did not find expected ','", Code::YamlBracket),
        ("quoted scalar, found unexpected end", Code::YamlQuote),
    ];
    // The reader stops by itself far above our own limit when it scans ahead of its events.
    if info.contains("recursion limit") {
        return Stopped::new(Code::TooDeep, at).with("max", &bounds.depth);
    }
    match known.iter().find(|(part, _)| info.contains(part)) {
        Some((_, code)) => Stopped::new(*code, at),
        None => Stopped::new(Code::YamlSyntax, at).with("detail", &info),
    }
}

impl Builder {
    fn byte(&self, character: usize) -> usize {
        self.bytes[character.min(self.bytes.len() - 1)]
    }
    fn at(&self, span: Span) -> At {
        let start = self.byte(span.start.index());
        At { start, end: self.byte(span.end.index()).max(start) }
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Stopped> {
        match event {
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
            Event::Alias(_) => self.refuse(Code::Anchor, span),
            Event::Scalar(text, style, anchor, tag) => {
                self.plain(span, anchor, tag.is_some())?;
                self.scalar(text.into_owned(), style, span);
                Ok(())
            }
            Event::SequenceStart(anchor, tag) => {
                self.plain(span, anchor, tag.is_some())?;
                let start = self.byte(span.start.index());
                self.begin(Open::List { start, items: Vec::new() }, span)
            }
            Event::MappingStart(anchor, tag) => {
                self.plain(span, anchor, tag.is_some())?;
                let start = self.byte(span.start.index());
                self.begin(Open::Map { start, entries: Vec::new(), key: None }, span)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(span),
        }
    }

    fn refuse(&self, code: Code, span: Span) -> Result<(), Stopped> {
        Err(Stopped::new(code, self.at(span)))
    }

    /// No anchor and no tag, and not too many values yet.
    fn plain(&mut self, span: Span, anchor: usize, tagged: bool) -> Result<(), Stopped> {
        if anchor != 0 {
            return self.refuse(Code::Anchor, span);
        }
        if tagged {
            return self.refuse(Code::Tag, span);
        }
        self.nodes += 1;
        if self.nodes > self.bounds.nodes {
            let stopped = Stopped::new(Code::TooManyValues, self.at(span));
            return Err(stopped.with("max", &self.bounds.nodes));
        }
        Ok(())
    }

    fn scalar(&mut self, text: String, style: ScalarStyle, span: Span) {
        let at = self.at(span);
        let bare = style == ScalarStyle::Plain;
        if let Some(Open::Map { key: key @ None, .. }) = self.open.last_mut() {
            let style = if bare { KeyStyle::Bare } else { KeyStyle::Quoted };
            *key = Some(Key { at, text, style });
            return;
        }
        let value = match (bare, text.as_str()) {
            (true, "" | "~" | "null") => Value::Nothing,
            (true, _) => Value::Bare(text),
            (false, _) => Value::Quoted(text),
        };
        self.put(Node { at, value });
    }

    fn begin(&mut self, open: Open, span: Span) -> Result<(), Stopped> {
        if let Some(Open::Map { key: None, .. }) = self.open.last() {
            return self.refuse(Code::KeyNotText, span);
        }
        if self.open.len() == self.bounds.depth {
            let stopped = Stopped::new(Code::TooDeep, self.at(span));
            return Err(stopped.with("max", &self.bounds.depth));
        }
        self.open.push(open);
        Ok(())
    }

    fn end(&mut self, span: Span) -> Result<(), Stopped> {
        let end = self.byte(span.end.index());
        let node = match self.open.pop() {
            Some(Open::List { start, items }) => {
                Node { at: At { start, end: end.max(start) }, value: Value::List(items) }
            }
            Some(Open::Map { start, entries, .. }) => {
                Node { at: At { start, end: end.max(start) }, value: Value::Map(entries) }
            }
            // The reader closes only what it has opened.
            None => return Err(Stopped::new(Code::YamlSyntax, self.at(span))),
        };
        self.put(node);
        Ok(())
    }

    /// Into the innermost list or map that is open.
    fn put(&mut self, node: Node) {
        match self.open.last_mut() {
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, .. }) => {
                if let Some(key) = key.take() {
                    entries.push(Entry { key, value: node });
                }
            }
            None => self.root = Some(node),
        }
    }
}
