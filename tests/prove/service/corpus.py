"""Sentences as agents keep them, from a seed: words as unevenly common as those of a language, people, times.

Knows no service.
"""

import bisect
import itertools
import random

WORDS = 20_000
ONSETS = ["b", "br", "d", "dr", "f", "fl", "g", "gr", "h", "k", "kl", "l", "m", "n", "p", "pr", "r", "s", "st", "t", "tr", "v", "w", "z"]
VOWELS = ["a", "e", "i", "o", "u", "ai", "ea", "ou"]
CODAS = ["", "", "n", "r", "l", "s", "t", "ck", "nd", "sh"]


class Corpus:
    """Zipf's law: the second word is half as common as the first."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        words = set()
        while len(words) < WORDS:
            words.add("".join(self.syllable() for _ in range(self.chance.choice([1, 2, 2, 3]))))
        self.words = sorted(words)
        self.chance.shuffle(self.words)
        self.sums = list(itertools.accumulate(1 / rank for rank in range(1, WORDS + 1)))

    def syllable(self):
        return self.chance.choice(ONSETS) + self.chance.choice(VOWELS) + self.chance.choice(CODAS)

    def word(self):
        return self.words[bisect.bisect(self.sums, self.chance.random() * self.sums[-1])]

    def sentence(self):
        return " ".join(self.word() for _ in range(self.chance.randint(8, 30))).capitalize() + "."

    def question(self, sentence):
        """Some words of a sentence that is there, as somebody who half remembers it asks."""
        words = sentence.lower().rstrip(".").split()
        return "what about " + " ".join(self.chance.sample(words, min(len(words), self.chance.randint(3, 5)))) + "?"

    def misspelt(self, question):
        """With two letters of the longest word in each other's place."""
        word = max(question.rstrip("?").split(" "), key=len)
        at = self.chance.randrange(len(word) - 1)
        return question.replace(word, word[:at] + word[at + 1] + word[at] + word[at + 2 :], 1)
