"""Questions of lesson 05: recall from earlier lessons, predictions, quiz."""

from attnlab.checks.questions import Choice, Question

RECALL = (
    Question(
        "self_attention.recall.1",
        "Scores 0 and ln 3 go into a softmax. Which weights come out?",
        {
            "a": Choice("1/4 and 3/4", "exp(0) = 1, exp(ln 3) = 3, and 1 + 3 = 4.", right=True),
            "b": Choice("0 and 1", "That is the limit of temperature zero. At temperature 1 the softmax stays soft."),
            "c": Choice("0 and ln 3, divided by ln 3", "The softmax divides exponentials, not the scores themselves."),
            "d": Choice("1/2 and 1/2", "Equal weights come from equal scores, or from a very high temperature."),
        },
    ),
    Question(
        "self_attention.recall.2",
        "What does a weighted average of three values, with weights that are positive and sum to one, never do?",
        {
            "a": Choice("come close to one of the values", "It does, when one weight is near 1."),
            "b": Choice(
                "lie outside the range of the values",
                "Right: it stays between the smallest and the largest, in the convex hull.",
                right=True,
            ),
            "c": Choice("depend on the weights", "It does depend on them; that is what attention is for."),
            "d": Choice("equal their mean", "With three equal weights it is the mean."),
        },
    ),
    Question(
        "self_attention.recall.3",
        "In Nadaraya-Watson regression, what does a smaller bandwidth do to the weights?",
        {
            "a": Choice(
                "It makes them more alike.", "The other way round: a large bandwidth makes far points count too."
            ),
            "b": Choice(
                "It moves them onto the nearest keys.",
                "The squared bandwidth divides the scores, as a temperature does; small means sharp.",
                right=True,
            ),
            "c": Choice(
                "It makes them sum to less than one.", "They sum to one at any bandwidth: the softmax sees to it."
            ),
            "d": Choice(
                "Nothing; it changes the values.", "The values stay as they are. Only the weights depend on it."
            ),
        },
    ),
)

PREDICTIONS = (
    Question(
        "variance",
        "Two random vectors of width 256, entries of mean 0 and variance 1. How large is a typical dot product, "
        "its standard deviation?",
        {
            "a": Choice("about 1", "That would be so if the terms averaged out. They add up."),
            "b": Choice(
                "about 16",
                "256 independent terms of variance 1 have variance 256, and the root of that is 16.",
                right=True,
            ),
            "c": Choice("about 256", "256 is the variance. The standard deviation is its root."),
        },
    ),
    Question(
        "gradient",
        "Without the scale, width 1024: what becomes of the gradient that reaches the scores through the softmax?",
        {
            "a": Choice(
                "It grows with the scores.",
                "It would for a linear layer. A saturated softmax passes on next to nothing.",
            ),
            "b": Choice("It stays about the same.", "It does with the scale. Without it the softmax saturates."),
            "c": Choice(
                "It all but vanishes.",
                "A small part of it is left at width 256, next to nothing at 1024. Why is the question below.",
                right=True,
            ),
        },
    ),
    Question(
        "frames",
        "The clip again, each frame as a query and as a key, scored by correlation. Where will frame 0, the rabbit still in "
        "its burrow, look most, apart from itself?",
        {
            "a": Choice("at the frames next to it in time", "Frames close in time look alike here.", right=True),
            "b": Choice(
                "at all frames alike",
                "They share the meadow, but the mean frame was taken off first, so it does not count.",
            ),
            "c": Choice("at the last frames", "By then the rabbit stands upright somewhere else."),
        },
    ),
    Question(
        "cost",
        "The sequence becomes twice as long. How many more multiplications for the scores of attention, and for a convolution?",
        {
            "a": Choice("twice, and twice", "Every query meets every key: two factors grow, not one."),
            "b": Choice(
                "four times, and twice", "n queries times n keys against n positions times a fixed window.", right=True
            ),
            "c": Choice("four times, and four times", "A convolution's window does not grow with the sequence."),
        },
    ),
    Question(
        "transplant",
        "We put wrong versions of attention into a trained language model. Which one will do the least harm to what it does?",
        {
            "a": Choice(
                "softmax over the queries", "It mixes with weights of the wrong kind in every layer; pairs get lost."
            ),
            "b": Choice(
                "scores divided by the root of the number of keys",
                "The model bends a little and finds every pair all the same: a result that looks right proves nothing.",
                right=True,
            ),
            "c": Choice(
                "the mask upside down", "Then every token sees only the padding: nothing of the sentence is left."
            ),
        },
    ),
)

QUIZ = (
    Question(
        "self_attention.quiz.1",
        "What is the difference between query, key and value in self-attention?",
        {
            "a": Choice(
                "They come from three different sequences.", "In self-attention all three come from one sequence."
            ),
            "b": Choice(
                "They are three learnt views of the same tokens: what I look for, how I am found, what I pass on.",
                "Three projections of one sequence.",
                right=True,
            ),
            "c": Choice(
                "Query and key are the same matrix; only the value differs.", "Then the scores would be symmetric."
            ),
            "d": Choice(
                "They are the three steps of the softmax.", "They are its inputs, and what its weights are used on."
            ),
        },
    ),
    Question(
        "self_attention.quiz.2",
        "Scores are of shape (b, q, k). Over which axis does the softmax run, and what sums to one?",
        {
            "a": Choice("over q; each column", "Then the queries would compete for a key."),
            "b": Choice(
                "over b; each cell across the batch", "That couples sequences that have nothing to do with each other."
            ),
            "c": Choice("over k; each row", "One query shares out one unit of attention among the keys.", right=True),
            "d": Choice("over q and k; the whole table", "Then a query could end up with almost no attention at all."),
        },
    ),
    Question(
        "self_attention.quiz.3",
        "Why divide by the root of the width, and not by the width?",
        {
            "a": Choice("It is cheaper.", "Both cost one division."),
            "b": Choice(
                "The standard deviation of a sum of d terms grows as the root of d.",
                "Dividing by it brings the scores to variance one; dividing by d overdoes it, and the weights get all alike.",
                right=True,
            ),
            "c": Choice("Otherwise the rows do not sum to one.", "They do under any scale."),
            "d": Choice(
                "The paper found it by trial.",
                "It gives the reason, in its footnote 4: the variance of the dot product.",
            ),
        },
    ),
    Question(
        "self_attention.quiz.4",
        "You shuffle the tokens of a sequence and put it through SelfAttention1d without a mask. What happens?",
        {
            "a": Choice(
                "The outputs change completely.", "Each output depends on the set of tokens, not on their order."
            ),
            "b": Choice("Nothing: the same outputs in the same places.", "The rows move along with their tokens."),
            "c": Choice(
                "The same outputs, shuffled alike.",
                "Self-attention is blind to order. Lesson 07 gives order back.",
                right=True,
            ),
            "d": Choice("The weights no longer sum to one.", "The softmax does not care about order."),
        },
    ),
    Question(
        "self_attention.quiz.5",
        "A causal language model reaches a loss near zero after a few hundred steps, and writes nonsense. What do you suspect?",
        {
            "a": Choice("The learning rate is too low.", "Then the loss would not be near zero."),
            "b": Choice(
                "The mask lets each token see the next one.",
                "It copies the answer in training; on its own there is nothing to copy.",
                right=True,
            ),
            "c": Choice("The scale is missing.", "That makes training slow, not perfect."),
            "d": Choice("The diagonal is hidden.", "Then row 0 has no key at all and the loss is NaN from the start."),
        },
    ),
    Question(
        "self_attention.quiz.6",
        "A head of a trained model gives most of its weight to the final [SEP] token. What may you conclude?",
        {
            "a": Choice(
                "[SEP] holds the meaning of the sentence.",
                "The map alone does not show that. It may be a resting place.",
            ),
            "b": Choice("The head is broken.", "Heads that rest on a special token are common in trained models."),
            "c": Choice(
                "Little: the weight says where it looked, not how much that mattered.",
                "The value found there may be close to zero. To know, one has to change something and see what happens.",
                right=True,
            ),
            "d": Choice("The sentence is too long.", "Heads do so in short sentences too."),
        },
    ),
)
