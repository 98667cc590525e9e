"""Facts about people, and the ways in which an agent tells one again.

Each kind of fact has wordings that mean the same. The kinds of `SEEN` were looked at while the comparison of
memories was written, those of `UNSEEN` were not. Knows nothing of how memories are compared.
"""

CITIES = ["Lisbon", "Oslo", "Kyoto", "Nairobi", "Quito", "Perth", "Gdansk", "Tallinn", "Porto", "Leipzig"]
FOODS = ["green tea", "black coffee", "blue cheese", "oat milk", "dark chocolate", "rye bread", "red wine", "mango"]
NUTS = ["peanuts", "shellfish", "pollen", "penicillin", "latex", "gluten", "cats"]
FIRMS = ["Acme", "Globex", "Initech", "Umbrella", "Hooli", "Stark Industries", "Wayne Enterprises"]
JOBS = ["engineer", "nurse", "teacher", "carpenter", "lawyer", "gardener", "pilot"]
PETS = ["Biscuit", "Shadow", "Pepper", "Luna", "Rex", "Nala", "Momo", "Ziggy"]
NAMES = ["Clara", "Tom", "Mira", "Otto", "Ruth", "Felix", "Jana", "Paul", "Vera", "Hugo"]
MONTHS = ["January", "March", "May", "July", "September", "November"]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"]
TOOLS = ["piano", "violin", "cello", "trumpet", "harp", "banjo"]
BOOKS = ["Middlemarch", "Dune", "Ulysses", "Solaris", "Emma", "Beloved"]
CARS = ["Volvo", "Fiat", "Toyota", "Skoda", "Renault"]
COLOURS = ["red", "blue", "silver", "green", "white"]
TONGUES = ["Spanish", "Polish", "Swahili", "Korean", "Finnish", "Arabic"]
SPORTS = ["tennis", "chess", "squash", "handball", "golf"]

# (lists that its values come from, wordings); {0} is the person.
SEEN = {
    "likes": ([FOODS], ["{0} likes {1}", "{0} really likes {1}", "{1} is what {0} likes", "{0} enjoys {1}"]),
    "does not like": ([FOODS], ["{0} does not like {1}", "{0} doesn't like {1}", "{0} dislikes {1}"]),
    "works": ([JOBS, FIRMS], ["{0} works as a {1} at {2}", "{0} is a {1} at {2}", "At {2}, {0} works as a {1}"]),
    "lives": ([CITIES], ["{0} lives in {1}", "{0} is living in {1}", "{1} is where {0} lives", "{0} resides in {1}"]),
    "dog": ([PETS], ["{0} has a dog called {1}", "{0}'s dog is called {1}", "{0} has a dog named {1}"]),
    "born": ([range(1, 29), MONTHS, range(1950, 2005)],
             ["{0} was born on {1} {2} {3}", "{0}'s birthday is {1} {2} {3}", "{0}, born {1} {2} {3}"]),
    "order": ([range(1000, 9999), DAYS],
              ["Order {1} for {0} was shipped on {2}", "{0}'s order {1} shipped on {2}",
               "On {2}, order {1} was shipped to {0}"]),
    "prefers": ([FOODS, FOODS], ["{0} prefers {1} to {2}", "{0} prefers {1} over {2}"]),
    "travelled": ([CITIES, range(1990, 2025)],
                  ["{0} went to {1} in {2}", "{0} visited {1} in {2}", "In {2} {0} travelled to {1}"]),
    "learns": ([TOOLS], ["{0} is learning to play the {1}", "{0} learns to play the {1}", "{0} is learning the {1}"]),
    "allergic": ([NUTS], ["{0} is allergic to {1}", "{0} has an allergy to {1}", "{0} says they are allergic to {1}"]),
    "car": ([COLOURS, CARS], ["{0} drives a {1} {2}", "{0} is driving a {1} {2}", "{0}'s car is a {1} {2}"]),
}
UNSEEN = {
    "sister": ([NAMES], ["{0} has a sister called {1}", "{0}'s sister is called {1}", "{0}'s sister is named {1}"]),
    "meeting": ([NAMES, DAYS, range(8, 18)],
                ["{0} meets {1} on {2} at {3}", "{0} is meeting {1} on {2} at {3}",
                 "On {2} at {3}, {0} is meeting {1}"]),
    "extension": ([range(100, 999)],
                  ["{0} can be reached at extension {1}", "{0}'s extension is {1}", "Reach {0} at extension {1}"]),
    "speaks": ([TONGUES, TONGUES], ["{0} speaks {1} and {2}", "{0} can speak {2} and {1}", "{0} speaks {2} and {1}"]),
    "reads": ([BOOKS], ["{0} is reading {1}", "{0} is currently reading {1}", "{0} reads {1} now"]),
    "plays": ([SPORTS, DAYS], ["{0} plays {1} on {2}s", "On {2}s {0} plays {1}", "Every {2}, {0} plays {1}"]),
    "moves": ([CITIES, CITIES], ["{0} is moving from {1} to {2}", "{0} moves from {1} to {2}"]),
    "never": ([FOODS], ["{0} has never tried {1}", "{0} never tried {1}"]),
}
KINDS = {**SEEN, **UNSEEN}
WAYS = ["the same", "letters and signs", "a filler", "a slip", "other words"]


def fact(kind, person, chance):
    """The values of one fact; two of one list differ."""
    lists = KINDS[kind][0]
    while True:
        values = tuple(str(chance.choice(values)) for values in lists)
        if len(set(values)) == len(values):
            return (kind, person, values)


def tell(fact, way, chance):
    kind, person, values = fact
    wordings = KINDS[kind][1]
    if way == "other words":
        return chance.choice(wordings[1:]).format(person, *values)
    text = wordings[0].format(person, *values)
    if way == "letters and signs":
        return chance.choice([text.lower(), text.upper(), f"{text}!", f"  {text.replace(' ', '  ')}.", f"- {text};"])
    if way == "a filler":
        front = chance.choice(["Actually, ", "By the way: ", "Please remember that ", "Also, ", "I was told that "])
        return front + text
    if way == "a slip":
        return slip(text, chance)
    return text


def slip(text, chance):
    """Two neighbouring letters of one long word change places."""
    words = text.split(" ")
    long = [n for n, word in enumerate(words) if len(word) >= 6 and word.isalpha()]
    if not long:
        return text
    number = chance.choice(long)
    word = words[number]
    at = chance.randrange(1, len(word) - 2)
    words[number] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return " ".join(words)
