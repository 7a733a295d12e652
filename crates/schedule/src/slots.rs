//! Two small containers: values at stable numbers that are given out again, and a set of such
//! numbers as bits. Which number a value gets says nothing: no decision may look at it.

/// Values at stable numbers.
#[derive(Clone, Debug)]
pub(crate) struct Slots<T> {
    items: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { items: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slots<T> {
    pub fn add(&mut self, item: T) -> u32 {
        if let Some(at) = self.free.pop() {
            self.items[at as usize] = Some(item);
            return at;
        }
        self.items.push(Some(item));
        u32::try_from(self.items.len() - 1).expect("fewer than four thousand million live things")
    }
    pub fn take(&mut self, at: u32) -> T {
        self.free.push(at);
        self.items[at as usize].take().expect("a slot is given back once")
    }
    pub fn get(&self, at: u32) -> Option<&T> {
        self.items.get(at as usize).and_then(Option::as_ref)
    }
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0u32..).zip(&self.items).filter_map(|(at, item)| Some((at, item.as_ref()?)))
    }
    pub fn len(&self) -> usize {
        self.items.len() - self.free.len()
    }
}

impl<T> std::ops::Index<u32> for Slots<T> {
    type Output = T;
    fn index(&self, at: u32) -> &T {
        self.items[at as usize].as_ref().expect("whoever holds the number keeps the value")
    }
}
impl<T> std::ops::IndexMut<u32> for Slots<T> {
    fn index_mut(&mut self, at: u32) -> &mut T {
        self.items[at as usize].as_mut().expect("whoever holds the number keeps the value")
    }
}

/// A set of small numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BitSet {
    words: Vec<u64>,
    len: u32,
}

impl BitSet {
    pub fn contains(&self, number: u32) -> bool {
        let word = self.words.get(number as usize / 64).copied().unwrap_or(0);
        word >> (number % 64) & 1 == 1
    }
    pub fn insert(&mut self, number: u32) {
        let at = number as usize / 64;
        if self.words.len() <= at {
            self.words.resize(at + 1, 0);
        }
        let bit = 1 << (number % 64);
        self.len += u32::from(self.words[at] & bit == 0);
        self.words[at] |= bit;
    }
    pub fn remove(&mut self, number: u32) {
        if let Some(word) = self.words.get_mut(number as usize / 64) {
            let bit = 1 << (number % 64);
            self.len -= u32::from(*word & bit != 0);
            *word &= !bit;
        }
    }
    pub fn clear(&mut self) {
        self.words.clear();
        self.len = 0;
    }
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}
