//! Many readers in turns: whose frame is next, and what all of them wait for.

use std::time::{Duration, Instant};

use zerobuffer::{Armed, Frame, ReadError, Reader, WaitWord};

use crate::when::unless_told;
use crate::words;

/// Deaths wake nobody: so often every reader is tried, quiet or not. They are to be told within 100 ms.
const LOOK_AGAIN: Duration = Duration::from_millis(80);
/// Frames between two looks at the clock.
const FRAMES_PER_GLANCE: u32 = 64;

/// Which reader of a set. That of a removed one is given to the next that is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(usize);

/// What a reader of a set tells, as [`Reader::try_read`] does: a frame; `None` once when its writer has closed; an error.
/// Never [`ReadError::Timeout`].
pub type Told<'a> = Result<Option<Frame<'a>>, ReadError>;

/// Readers that take turns: one frame of each that has one.
#[derive(Debug, Default)]
pub(crate) struct Readers {
    members: Vec<Option<Member>>,
    count: usize,
    /// Whose turn it is.
    turn: usize,
    look_again: Option<Instant>,
    frames_since_glance: u32,
}

#[derive(Debug)]
struct Member {
    reader: Reader,
    /// Where it sleeps. While the word says so its announcement stands, whatever was read meanwhile.
    word: Option<WaitWord>,
    /// It may have something to tell that does not show in memory.
    must_be_tried: bool,
}

/// How all of them sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asleep {
    /// For so long at most.
    For(Duration),
    /// Try again now.
    Not,
}

impl Readers {
    pub(crate) fn add(&mut self, reader: Reader) -> Token {
        let member = Some(Member { reader, word: None, must_be_tried: true });
        self.count += 1;
        if let Some(free) = self.members.iter().position(Option::is_none) {
            self.members[free] = member;
            return Token(free);
        }
        self.members.push(member);
        Token(self.members.len() - 1)
    }

    pub(crate) fn remove(&mut self, token: Token) -> Option<Reader> {
        let member = self.members.get_mut(token.0)?.take()?;
        self.count -= 1;
        Some(member.reader)
    }

    pub(crate) fn get(&self, token: Token) -> Option<&Reader> {
        Some(&self.members.get(token.0)?.as_ref()?.reader)
    }

    pub(crate) fn get_mut(&mut self, token: Token) -> Option<&mut Reader> {
        let member = self.members.get_mut(token.0)?.as_mut()?;
        // Whoever has it may replace it.
        (member.word, member.must_be_tried) = (None, true);
        Some(&mut member.reader)
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn tokens(&self) -> impl Iterator<Item = Token> {
        let taken = self.members.iter().enumerate().filter(|(_, member)| member.is_some());
        taken.map(|(index, _)| Token(index))
    }

    /// What the next one that has something tells, without waiting.
    pub(crate) fn try_next(&mut self) -> Option<(Token, Told<'_>)> {
        self.glance_at_clock();
        for _ in 0..self.members.len() {
            let index = self.turn;
            self.turn = if index + 1 < self.members.len() { index + 1 } else { 0 };
            let Some(member) = &mut self.members[index] else { continue };
            if !std::mem::take(&mut member.must_be_tried) && member.reader.is_quiet() {
                continue;
            }
            unless_told!(
                reader = member.reader,
                reader.try_read(),
                told => Some((Token(index), told))
            );
        }
        None
    }

    /// A set that is never quiet has to look after those of its readers that are.
    fn glance_at_clock(&mut self) {
        self.frames_since_glance += 1;
        if self.frames_since_glance >= FRAMES_PER_GLANCE {
            self.frames_since_glance = 0;
            self.look_closely_if_due(Instant::now());
        }
    }

    fn look_closely_if_due(&mut self, now: Instant) {
        if self.look_again.is_none_or(|at| now >= at) {
            self.look_again = Some(now + LOOK_AGAIN);
            for member in self.members.iter_mut().flatten() {
                (member.word, member.must_be_tried) = (None, true);
            }
        }
    }

    /// Arms all of them after a try in vain, and collects the words to sleep on.
    pub(crate) fn arm(&mut self, words: &mut Vec<WaitWord>) -> Asleep {
        words.clear();
        let now = Instant::now();
        if self.look_again.is_some_and(|at| now >= at) {
            self.look_closely_if_due(now);
            return Asleep::Not;
        }
        let look_again = *self.look_again.get_or_insert(now + LOOK_AGAIN);
        let mut limit = look_again - now;
        for member in self.members.iter_mut().flatten() {
            if let Some(word) = member.word.filter(|word| !is_called(member, *word)) {
                words.push(word);
                continue;
            }
            match member.reader.arm() {
                Armed::Ready => {
                    member.must_be_tried = true;
                    return Asleep::Not;
                }
                Armed::Asleep { word, look_again_after, .. } => {
                    member.word = word;
                    words.extend(word);
                    if look_again_after < LOOK_AGAIN {
                        // Where nobody wakes, or a wake-up may be missed.
                        member.must_be_tried = true;
                        limit = limit.min(look_again_after);
                    }
                }
            }
        }
        Asleep::For(limit)
    }
}

/// Whether a member's writer has called it.
fn is_called(member: &Member, word: WaitWord) -> bool {
    debug_assert_eq!(member.word, Some(word));
    #[allow(unsafe_code)]
    // SAFETY: the word is the member's reader's own: it is given up whenever somebody else gets hold of the reader.
    unsafe {
        words::is_called(word)
    }
}
