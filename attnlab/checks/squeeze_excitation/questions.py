"""Questions of lesson 02: recall from earlier lessons, predictions, quiz."""

from attnlab.checks.questions import Choice, Question

RECALL = (
    Question(
        "squeeze_excitation.recall.1",
        "Three scores go through a softmax, and one of them is raised. What happens to the other two weights?",
        {
            "a": Choice("They stay.", "The weights sum to one: what one wins, the others lose."),
            "b": Choice("They fall.", "Weights of a softmax compete. Gates, today, do not.", right=True),
            "c": Choice("They rise too.", "The sum is one, so not all can rise."),
        },
    ),
    Question(
        "squeeze_excitation.recall.2",
        "features has the shape (b 2, c 3, y 4, x 5). What is the shape of features.mean(dim=(-2, -1))?",
        {
            "a": Choice("(2, 3)", "The two last axes are averaged away.", right=True),
            "b": Choice("(4, 5)", "dim names the axes that go. These are the ones that would stay with dim=(0, 1)."),
            "c": Choice("(2, 3, 1, 1)", "That is what keepdim=True gives."),
        },
    ),
    Question(
        "squeeze_excitation.recall.3",
        "Sentences of different lengths are padded. Which weight should attention give to a padded place?",
        {
            "a": Choice("the same as to the others", "Then the sentence's result depends on how far it was padded."),
            "b": Choice(
                "exactly 0, and the others share it out",
                "So the mask is applied to the scores, before the softmax.",
                right=True,
            ),
            "c": Choice("0, and the others stay as they were", "Then the weights no longer sum to one."),
        },
    ),
)

PREDICTIONS = (
    Question(
        "fresh_gate",
        "The two matrices are random and small, nothing is trained. How far is a typical gate open?",
        {
            "a": Choice("fully: 1, so that nothing is disturbed", "A sigmoid of a number near 0 is near a half."),
            "b": Choice("about a half", "Scores near 0 give sigmoid(0) = 0.5: a fresh layer halves all.", right=True),
            "c": Choice("nearly shut, 1/16 for 16 channels", "That would be a softmax. These gates do not share."),
        },
    ),
    Question(
        "additive",
        "The network of the puzzle has no gate. We turn the lamp on. Its scores for the ten digits change by some amount. Is "
        "it the same amount in every picture?",
        {
            "a": Choice("No: it depends on the two digits.", "No patch shows lamp and digits, so the two only add up."),
            "b": Choice(
                "Yes, exactly, whatever the picture shows.",
                "Each feature sees lamp or digit, never both, and the scores are a weighed sum of features.",
                right=True,
            ),
            "c": Choice(
                "Nothing changes: it cannot see the lamp.",
                "It sees the lamp, and has learnt to use it hardly at all: it cannot combine it.",
            ),
        },
    ),
    Question(
        "digits_gain",
        "An ordinary task, handwritten digits, no lamp. What will the same gates do to the accuracy?",
        {
            "a": Choice(
                "raise it by several points",
                "The paper gains 1.5 points on a million photos of a thousand classes. Little is left of it here.",
            ),
            "b": Choice(
                "nothing that stands out from the spread of the seeds",
                "Nothing in this task needs a look at the whole picture that the last layer does not have.",
                right=True,
            ),
            "c": Choice("halve it, since all gates begin at a half", "The other weights make up for the factor."),
        },
    ),
    Question(
        "early_late",
        "Three gates, one after each convolution. Which of them differs most between the ten classes?",
        {
            "a": Choice("the first", "Early features are edges and strokes; every digit needs them."),
            "b": Choice("all alike", "It would be so if every layer knew as much about the class."),
            "c": Choice("the last", "Late features belong to certain digits, and so do their gates.", right=True),
        },
    ),
)

QUIZ = (
    Question(
        "squeeze_excitation.quiz.1",
        "Why a sigmoid for each channel, and not a softmax over the channels?",
        {
            "a": Choice("A softmax is slower.", "For a few hundred numbers nobody notices."),
            "b": Choice("Several channels may be needed at once.", "Gates do not share one unit.", right=True),
            "c": Choice("A softmax has no gradient.", "It has one; attention is trained through it."),
            "d": Choice("Sigmoids sum to one.", "They do not, and need not."),
        },
    ),
    Question(
        "squeeze_excitation.quiz.2",
        "Features are (b, c, y, x). Which axes does the squeeze average?",
        {
            "a": Choice("c", "That leaves a gate for places: the spatial relative of the stretch."),
            "b": Choice("b, y and x", "Then all pictures of the batch have the same gates."),
            "c": Choice("y and x", "One number for each channel of each picture.", right=True),
            "d": Choice("x", "Then each row has a gate of its own."),
        },
    ),
    Question(
        "squeeze_excitation.quiz.3",
        "A gate with 1x1 convolutions and no pooling trains well and reaches a good accuracy on digits. What follows?",
        {
            "a": Choice("It is a squeeze-and-excitation.", "Nothing in it knows the whole map."),
            "b": Choice(
                "That the task does not need to know the whole map there.",
                "A good result does not prove right code. A law does.",
                right=True,
            ),
            "c": Choice("Pooling is useless.", "The lamp says otherwise, and the paper: 22.93 against 22.28 % error."),
        },
    ),
    Question(
        "squeeze_excitation.quiz.4",
        "Where does most of SE-ResNet-50's extra cost in parameters lie?",
        {
            "a": Choice("in the first stage, where maps are large", "The size of a map does not enter the count."),
            "b": Choice("evenly in all stages", "The count grows with the square of the channels."),
            "c": Choice(
                "in the last stage, with 2,048 channels",
                "More than 60 % of it. Without that stage's gates the network grows by 4 %, not by 10 %.",
                right=True,
            ),
        },
    ),
    Question(
        "squeeze_excitation.quiz.5",
        "All gates of a trained layer are the same for every picture. What do you suspect?",
        {
            "a": Choice(
                "Its hidden units are off for all inputs.",
                "Then the gate is the sigmoid of its last bias: a fixed gate. We met it in the first layer.",
                right=True,
            ),
            "b": Choice("The pictures are all alike.", "Look at their summaries: do they differ?"),
            "c": Choice("The sigmoid is missing.", "Then gates would still differ, beyond 0 and 1."),
        },
    ),
    Question(
        "squeeze_excitation.quiz.6",
        "A channel's gate is 0.1 for pictures of a cat. May you say that the network ignores this channel for cats?",
        {
            "a": Choice("Yes, 0.1 is nearly shut.", "A loud channel at 0.1 may still outweigh a silent one at 1."),
            "b": Choice(
                "No: what arrives is gate times feature, and later weights count too.",
                "And relative to other pictures 0.1 may even be much. To know, change it and see what happens.",
                right=True,
            ),
            "c": Choice(
                "No, gates have no meaning at all.", "They are factors; what they multiply gives them meaning."
            ),
        },
    ),
)
