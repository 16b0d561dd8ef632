//! A vector in shared pieces: cloning it copies pointers, changing it copies one piece at most.
//!
//! It lets readers keep a snapshot for as long as they like while the applier goes on.

use std::ops::Range;
use std::sync::Arc;

/// How many elements a piece holds.
const PIECE: usize = 1_024;

#[derive(Debug)]
pub(crate) struct Chunked<T> {
    pieces: Vec<Arc<Vec<T>>>,
    len: usize,
}

impl<T> Clone for Chunked<T> {
    fn clone(&self) -> Self {
        Self {
            pieces: self.pieces.clone(),
            len: self.len,
        }
    }
}

impl<T> Default for Chunked<T> {
    fn default() -> Self {
        Self {
            pieces: Vec::new(),
            len: 0,
        }
    }
}

impl<T> Chunked<T> {
    /// Whether the other one consists of the same pieces; it may be equal even if not.
    pub(crate) fn shares_all_with(&self, other: &Self) -> bool {
        let pairs = self.pieces.iter().zip(&other.pieces);
        self.len == other.len
            && pairs
                .into_iter()
                .all(|(one, other)| Arc::ptr_eq(one, other))
    }

    /// The places of which it is not known, without looking at them, that both hold the same.
    pub(crate) fn differing(&self, other: &Self) -> Vec<Range<usize>> {
        let pieces = self.pieces.len().max(other.pieces.len());
        let end = self.len.max(other.len);
        (0..pieces)
            .filter(
                |piece| match (self.pieces.get(*piece), other.pieces.get(*piece)) {
                    (Some(one), Some(other)) => !Arc::ptr_eq(one, other),
                    (_, None) | (None, _) => true,
                },
            )
            .map(|piece| piece * PIECE..((piece + 1) * PIECE).min(end))
            .collect()
    }
}

impl<T: Clone> Chunked<T> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        self.pieces.get(index / PIECE)?.get(index % PIECE)
    }

    /// The element, to be changed; `None` beyond the end. Copies its piece if a snapshot shares it.
    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        Arc::make_mut(self.pieces.get_mut(index / PIECE)?).get_mut(index % PIECE)
    }

    pub(crate) fn push(&mut self, value: T) {
        match self.pieces.last_mut() {
            Some(piece) if piece.len() < PIECE => Arc::make_mut(piece).push(value),
            Some(_) | None => {
                let mut piece = Vec::with_capacity(PIECE);
                piece.push(value);
                self.pieces.push(Arc::new(piece));
            }
        }
        self.len += 1;
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.pieces.iter().flat_map(|piece| piece.iter())
    }

    /// The elements from `start` on.
    pub(crate) fn iter_from(&self, start: usize) -> impl Iterator<Item = &T> {
        self.pieces
            .iter()
            .skip(start / PIECE)
            .flat_map(|piece| piece.iter())
            .skip(start % PIECE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_does_not_see_later_changes() {
        let mut numbers = Chunked::default();
        for n in 0..3_000_u32 {
            numbers.push(n);
        }
        let before = numbers.clone();
        *numbers.get_mut(1_500).unwrap() = 7;
        numbers.push(3_000);
        assert_eq!(before.get(1_500), Some(&1_500));
        assert_eq!(numbers.get(1_500), Some(&7));
        assert_eq!((before.len(), numbers.len()), (3_000, 3_001));
        assert_eq!(before.get(3_000), None);
        assert!(Arc::ptr_eq(&before.pieces[0], &numbers.pieces[0]));
        assert!(numbers.shares_all_with(&numbers.clone()));
        assert!(!numbers.shares_all_with(&before));
        let mut changed = before.clone();
        *changed.get_mut(2_999).unwrap() = 0;
        assert!(!changed.shares_all_with(&before));
        assert!(
            changed
                .differing(&before)
                .into_iter()
                .eq(std::iter::once(2_048..3_000))
        );
        assert_eq!(numbers.differing(&before), [1_024..2_048, 2_048..3_001]);
        assert!(before.differing(&before.clone()).is_empty());
        assert!(before.iter().copied().eq(0..3_000));
        assert!(numbers.iter_from(2_047).copied().eq(2_047..3_001));
    }
}
