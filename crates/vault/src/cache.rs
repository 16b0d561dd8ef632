//! A bounded cache: two generations, so that what is used stays and what is not is dropped.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;

use parking_lot::Mutex;

/// Holds at most `capacity` entries. When the young half is full it becomes the old half, and the
/// former old half is dropped; a hit in the old half moves the entry to the young one.
pub struct Cache<K, V> {
    halves: Mutex<Halves<K, V>>,
    half: usize,
}

struct Halves<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Eq + Hash + Clone, V: Clone> Cache<K, V> {
    /// A cache of at most `capacity` entries; of none, it remembers nothing.
    pub fn new(capacity: usize) -> Self {
        Self {
            halves: Mutex::new(Halves {
                young: HashMap::new(),
                old: HashMap::new(),
            }),
            half: capacity / 2,
        }
    }

    /// Looks many up under one lock; `found` hears the place and the value of each hit.
    pub fn get_each<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k K>,
        mut found: impl FnMut(usize, V),
    ) where
        K: 'k,
    {
        let mut halves = self.halves.lock();
        for (place, key) in keys.into_iter().enumerate() {
            if let Some(value) = halves.young.get(key) {
                found(place, value.clone());
            } else if let Some(value) = halves.old.remove(key) {
                found(place, value.clone());
                self.put(&mut halves, key.clone(), value);
            }
        }
    }

    /// Remembers many under one lock.
    pub fn insert_each(&self, entries: impl IntoIterator<Item = (K, V)>) {
        let mut halves = self.halves.lock();
        for (key, value) in entries {
            self.put(&mut halves, key, value);
        }
    }

    /// Forgets one entry.
    pub fn remove(&self, key: &K) {
        let mut halves = self.halves.lock();
        halves.young.remove(key);
        halves.old.remove(key);
    }

    /// Forgets the entries whose value is not to be kept; looks at all of them.
    pub fn retain(&self, keep: impl Fn(&V) -> bool) {
        let mut halves = self.halves.lock();
        halves.young.retain(|_, value| keep(value));
        halves.old.retain(|_, value| keep(value));
    }

    /// Forgets everything.
    pub fn clear(&self) {
        let mut halves = self.halves.lock();
        halves.young = HashMap::new();
        halves.old = HashMap::new();
    }

    fn put(&self, halves: &mut Halves<K, V>, key: K, value: V) {
        if self.half == 0 {
            return;
        }
        if halves.young.len() >= self.half {
            halves.old = std::mem::take(&mut halves.young);
        }
        halves.young.insert(key, value);
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let halves = self.halves.lock();
        halves.young.len() + halves.old.len()
    }
}

impl<K, V> fmt::Debug for Cache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::Cache;

    fn get(cache: &Cache<u32, u32>, key: u32) -> Option<u32> {
        let mut out = None;
        cache.get_each([&key], |_, value| out = Some(value));
        out
    }

    #[test]
    fn holds_what_is_used_and_stays_bounded() {
        let cache = Cache::new(20);
        for key in 0..1_000 {
            cache.insert_each([(key, key)]);
            assert_eq!(get(&cache, 0), Some(0), "used after every insert, so kept");
            assert!(cache.len() <= 20);
        }
        assert_eq!(get(&cache, 5), None);
        cache.remove(&0);
        assert_eq!(get(&cache, 0), None);
        assert_eq!(get(&cache, 999), Some(999));
        cache.retain(|value| *value != 999);
        assert_eq!(get(&cache, 999), None);
        assert_eq!(get(&cache, 998), Some(998));
    }

    #[test]
    fn no_capacity_means_no_cache() {
        let cache = Cache::new(0);
        cache.insert_each([(1, 1)]);
        assert_eq!(get(&cache, 1), None);
    }
}
