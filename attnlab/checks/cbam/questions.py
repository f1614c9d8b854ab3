"""Questions of lesson 03: recall from earlier lessons, predictions, quiz."""

from attnlab.checks.questions import Choice, Question

RECALL = (
    Question(
        "cbam.recall.1",
        "Lesson 00: three weights come out of a softmax. What do you know about them whatever went in?",
        {
            "a": Choice("They are all below one half.", "One of them may be close to 1."),
            "b": Choice(
                "They are positive and sum to one.", "One unit, shared out. Keep it in mind for today.", right=True
            ),
            "c": Choice("The largest is 1.", "Only in the limit of a very sharp softmax."),
        },
    ),
    Question(
        "cbam.recall.2",
        "Lesson 01: in a padded batch of sentences, what has to happen to the scores of the padding before the softmax?",
        {
            "a": Choice("They are set to 0.", "exp(0) is 1, so the padding would keep a weight."),
            "b": Choice("Nothing: padding is zeros.", "A score of padding is a number like others, and gets a weight."),
            "c": Choice("They are set to minus infinity.", "Its exponential is 0: no weight at all.", right=True),
        },
    ),
    Question(
        "cbam.recall.3",
        "Lesson 02: a squeeze-and-excitation block sees features (b, c, y, x). What does its gate depend on?",
        {
            "a": Choice("on the mean of each channel", "The squeeze averages over all places.", right=True),
            "b": Choice("on the values at each place", "After the squeeze no place is left to tell from another."),
            "c": Choice("on the order of the places", "A mean does not know any order."),
            "d": Choice("on the other pictures of the batch", "Each picture is squeezed by itself."),
        },
    ),
)

PREDICTIONS = (
    Question(
        "resolution",
        "Noise without content, on ever larger maps. What becomes of the two summaries of a channel?",
        {
            "a": Choice("Both stay.", "So it is for the mean. The largest of more numbers is larger."),
            "b": Choice(
                "The mean stays, the largest value grows.",
                "Of more random numbers one is further out. Through the maximum, a gate depends on the resolution.",
                right=True,
            ),
            "c": Choice("Both grow.", "The mean settles: more numbers make it steadier, not larger."),
        },
    ),
    Question(
        "start",
        "A fresh CBAM with small random weights: how much of a feature comes through?",
        {
            "a": Choice("all of it", "That would be the identity. A sigmoid of 0 is not 1."),
            "b": Choice("about a half", "So it would be with one gate. Here are two."),
            "c": Choice(
                "about a quarter",
                "Scores near 0 give gates near 0.5, and 0.5 times 0.5 is a quarter. CBAM does not start as the identity.",
                right=True,
            ),
        },
    ),
    Question(
        "points",
        "Over all five photographs and three seeds: how much of its mass does the trained gate over places put into the "
        "objects' boxes?",
        {
            "a": Choice(
                "More than a flat map, and more than any map that knows nothing of the task.",
                "One picture suggested it. It was chosen because it does.",
            ),
            "b": Choice(
                "About as much as a flat map or a little more, and less than plain edges.",
                "The gate was trained to tell photographs apart, and nobody asked it to find things. Edges know nothing of the "
                "task and lie where things are.",
                right=True,
            ),
            "c": Choice(
                "Far less than a flat map: it looks away.",
                "Not by far. Whether it is above or below hangs on whether the border is counted.",
            ),
        },
    ),
    Question(
        "order",
        "Digits among clutter, three seeds each. How will accuracy compare?",
        {
            "a": Choice(
                "CBAM clearly first, no gate last",
                "That is what one hopes for. Hold the bars against the dots on them.",
            ),
            "b": Choice(
                "The designs differ about as much as seeds of one design do.",
                "At this size the order of gates, and gates at all, cannot be told from luck. The cost can.",
                right=True,
            ),
            "c": Choice("Places first is clearly best", "No order stands out from the spread of its seeds."),
        },
    ),
    Question(
        "swapped",
        "Trained weights are loaded into a CBAM whose two maps come in the other order. What happens?",
        {
            "a": Choice("load_state_dict refuses.", "All names and shapes agree, so it has nothing to refuse."),
            "b": Choice(
                "It loads without a word, all gates over places change, and accuracy gives no clear sign.",
                "The window for the mean now looks at the maximum. No error and no warning; and in this small network little "
                "hangs on those gates. A good result does not prove right code.",
                right=True,
            ),
            "c": Choice(
                "It loads, and accuracy falls to chance.",
                "One block in a small network is not enough for that. It would be kinder: then one would notice.",
            ),
        },
    ),
)

QUIZ = (
    Question(
        "cbam.quiz.1",
        "What can CBAM's second gate do that a gate over channels cannot?",
        {
            "a": Choice("open a channel fully", "A gate over channels can come as close to 1."),
            "b": Choice(
                "treat two places of one channel differently",
                "A channel's gate is one number for the whole map.",
                right=True,
            ),
            "c": Choice("make features larger", "No gate can: it lies between 0 and 1."),
        },
    ),
    Question(
        "cbam.quiz.2",
        "Where do the two branches of the channel gate meet?",
        {
            "a": Choice(
                "before the MLP: the summaries are added",
                "Then the ReLU sees the sum, and the two can't be told apart.",
            ),
            "b": Choice(
                "after the MLP and before the sigmoid: the scores are added",
                "One MLP, twice; one sigmoid, once.",
                right=True,
            ),
            "c": Choice("after the sigmoid: the gates are added", "That gives a gate between 0 and 2."),
            "d": Choice("in the hidden layer: the summaries are concatenated", "Then W_0 would have 2c inputs."),
        },
    ),
    Question(
        "cbam.quiz.3",
        "A ResNet's last map is 7 by 7, and somebody forgot the padding of the 7 by 7 window. What do you see?",
        {
            "a": Choice(
                "an error about shapes",
                "On other maps, yes. Here the result is 1 by 1, and that multiplies with anything.",
            ),
            "b": Choice("NaN", "All numbers are finite."),
            "c": Choice(
                "nothing: it runs, and gates all places alike",
                "Broadcasting hides it. A test on a map of 7 by 7 finds it.",
                right=True,
            ),
        },
    ),
    Question(
        "cbam.quiz.4",
        "A paper shows a gate that glows on the dog. Which question comes first?",
        {
            "a": Choice("Which colours were used?", "They can mislead too, but it is not the first thing."),
            "b": Choice("How many layers has the network?", "That does not make the map true or false."),
            "c": Choice(
                "What would a map look like that knows nothing: untrained, edges, the middle?",
                "Dogs stand in the middle and have edges. Without a control a glow says nothing.",
                right=True,
            ),
        },
    ),
    Question(
        "cbam.quiz.5",
        "A gate puts 85 % of its mass into a box that fills 82 % of the picture. How far is it above a flat map?",
        {
            "a": Choice("0.85", "That is the share itself, without any control."),
            "b": Choice("0.03", "0.85 minus 0.82: a flat gate has the share of the area.", right=True),
            "c": Choice("1.04", "That is the ratio; we take the difference."),
        },
    ),
    Question(
        "cbam.quiz.6",
        "A block returns x + gate * x, and its author calls it CBAM. What can it not do?",
        {
            "a": Choice("train", "It trains well; that is why nobody notices."),
            "b": Choice("close a channel or a place", "Its factor runs from 1 to 2.", right=True),
            "c": Choice("stress a place", "It can, by up to a factor of two."),
        },
    ),
)
