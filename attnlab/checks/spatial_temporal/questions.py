"""The questions of lesson 04: recall, predictions, quiz."""

from attnlab.checks.questions import Choice, Question

RECALL = (
    Question(
        "spatial_temporal.recall.1",
        "Scores of moments are -1, 0 and 1. What does a softmax make of them, and what do three sigmoids?",
        {
            "a": Choice(
                "Both give numbers that sum to one.",
                "Only the softmax shares out one unit. Sigmoids look at one score each: here they sum to 1.5.",
            ),
            "b": Choice(
                "The softmax's sum to one; the sigmoids' need not.",
                "A softmax makes scores compete. A sigmoid opens or closes one thing for itself.",
                right=True,
            ),
            "c": Choice(
                "The sigmoids' sum to one; the softmax's need not.",
                "The other way round: a softmax divides by the sum.",
            ),
        },
    ),
    Question(
        "spatial_temporal.recall.2",
        "Squeeze-and-excitation computes a gate for each channel of a feature map. From what?",
        {
            "a": Choice(
                "from a summary of the same map, averaged over all places", "The squeeze is that mean.", right=True
            ),
            "b": Choice(
                "from another picture", "The gate comes from the map itself. Today's will come from elsewhere."
            ),
            "c": Choice(
                "from each place on its own", "The gate is the same at every place: places were averaged away before."
            ),
        },
    ),
    Question(
        "spatial_temporal.recall.3",
        "CBAM's spatial map opens places of a feature map. Which shape does it need to weigh features (b, c, y, x)?",
        {
            "a": Choice("(b, c, 1, 1)", "That is a gate over channels, the same at all places."),
            "b": Choice(
                "(b, 1, y, x)", "One number a place, the same for all channels: broadcasting does the rest.", right=True
            ),
            "c": Choice("(b, y, x)", "Lined up from the right, b would meet c: an axis for the channels is missing."),
        },
    ),
)

PREDICTIONS = (
    Question(
        "shrink",
        "Features are 1 everywhere, at 8 moments. Places are open half (weight 0.5), moments weigh 1/8 each. Both "
        "branches are averaged. How do they compare in size?",
        {
            "a": Choice(
                "They are equally large.", "The moments' weights sum to one, and then the mean divides by 8 again."
            ),
            "b": Choice(
                "The places' branch is four times as large.",
                "0.5 against 0.125. A softmax followed by a mean shrinks twice; the next layer has to make up for it.",
                right=True,
            ),
            "c": Choice("The moments' branch is twice as large.", "1/8 is less than 1/2."),
        },
    ),
    Question(
        "loss_on_moments",
        "The published loss adds the sum of (1 - w)^2 over the weights of the moments. Which weights does it prefer?",
        {
            "a": Choice(
                "one moment with all the weight",
                "One term is then 0, but all the others are 1: with 8 moments 7 in all.",
            ),
            "b": Choice(
                "all moments alike",
                "8 times (7/8) squared is 6.125, less than the 7 of a single moment. It pulls towards uniform.",
                right=True,
            ),
            "c": Choice("it does not matter", "The sum of the weights is fixed, the sum of squares is not."),
        },
    ),
    Question(
        "together",
        "What counts stands in one place at one moment, and the skeleton shows both. Which attention recognises most?",
        {
            "a": Choice(
                "weights of places alone",
                "The right place at all moments: what is written there at the other moments comes along.",
            ),
            "b": Choice(
                "both side by side, as published",
                "Each branch sees too much for itself: a place at all moments, a moment at all places. Concatenating them does "
                "not multiply them.",
            ),
            "c": Choice(
                "one after the other",
                "The product of both weights leaves one cell. On this task that is what counts; it need not be so on others.",
                right=True,
            ),
        },
    ),
    Question(
        "scored",
        "Nobody tells the attention where or when to look; it learns from the class alone. Will its largest weight lie in the true "
        "place?",
        {
            "a": Choice(
                "nearly always, in every form that learns places",
                "The form that recognises most points worse than the one that weighs places alone: being right and pointing "
                "right are two things.",
            ),
            "b": Choice(
                "it depends on the form, and not on how well the form recognises",
                "The best recogniser is not the best pointer. A score says more than a beautiful map.",
                right=True,
            ),
            "c": Choice(
                "hardly ever", "Where places are the only thing to choose by, it finds them from the class alone."
            ),
        },
    ),
    Question(
        "joints",
        "A model has learnt recorded actions, and weighs some joints more than others. We hide from it the three it weighs most; then, "
        "as a control, three others drawn by lot. What will its accuracy do?",
        {
            "a": Choice(
                "It falls only without the heavy ones.",
                "That is what a map makes one believe. The control costs something too: the run shows how much.",
            ),
            "b": Choice(
                "It falls in both cases; the control says how much of that means anything.",
                "Any missing joint is something the model never met in training. Only the difference to the control counts.",
                right=True,
            ),
            "c": Choice("It stays the same.", "The weighted average has lost some of what it averaged."),
        },
    ),
)

QUIZ = (
    Question(
        "spatial_temporal.quiz.1",
        "Where do the weights in separable attention come from, and what do they weigh?",
        {
            "a": Choice("from the video, and weigh the skeleton", "The other way round."),
            "b": Choice(
                "from the skeleton, and weigh the video's features",
                "The pose knows where and when; the video knows what.",
                right=True,
            ),
            "c": Choice("from the video, and weigh the video", "That would be a gate like CBAM's, or self-attention."),
            "d": Choice("from the class, and weigh the frames", "The class is what is to be found out."),
        },
    ),
    Question(
        "spatial_temporal.quiz.2",
        "t = 8, y = 7, x = 7. How many weights has separable attention, how many one table over space and time?",
        {
            "a": Choice("57 and 392", "8 + 49 against 8 times 49.", right=True),
            "b": Choice("392 and 57", "The separable one has fewer."),
            "c": Choice("22 and 392", "The places are one table of 49, not 7 + 7."),
            "d": Choice("57 and 57", "Together, each moment has a table of its own."),
        },
    ),
    Question(
        "spatial_temporal.quiz.3",
        "Your code reshapes weights of 49 places to (7, 7), in the wrong order of axes. When do you find out?",
        {
            "a": Choice("At once: the shapes do not fit.", "They fit, because rows and columns are equally many."),
            "b": Choice(
                "In a test with different numbers of rows and columns.",
                "Or with a map that is bright in one known corner. Square sizes hide turned axes.",
                right=True,
            ),
            "c": Choice("When training does not go down.", "It may: the next layers learn around it."),
            "d": Choice(
                "Never, and it does not matter.",
                "Maps drawn over a picture would be turned, and so would every conclusion.",
            ),
        },
    ),
    Question(
        "spatial_temporal.quiz.4",
        "The weights over three body parts are exactly one third for every clip, after training. What do you check first?",
        {
            "a": Choice(
                "whether the parts matter equally", "Exactly, for every clip, to the last digit? That is no finding."
            ),
            "b": Choice(
                "whether the layers that make them are trained at all",
                "A last layer that begins at zero and is frozen gives one third for ever. The law: weights vary with the pose.",
                right=True,
            ),
            "c": Choice(
                "whether the softmax runs over the right axis", "A softmax over the batch would not give one third."
            ),
            "d": Choice("the learning rate", "Too low a rate gives weights near one third, not all of them exactly."),
        },
    ),
    Question(
        "spatial_temporal.quiz.5",
        "A map is equal everywhere, and a program that uses argmax calls it a hit in a third of the clips. Why?",
        {
            "a": Choice(
                "argmax takes the first of equals, and there the truth happens to lie.",
                "A tie should score what guessing scores: the share of the tied places that lie inside.",
                right=True,
            ),
            "b": Choice("The map knows a little.", "It says the same about every place."),
            "c": Choice(
                "A third of the map is the truth.",
                "Then it would be chance; but argmax always points at one place, the first.",
            ),
            "d": Choice("Rounding errors decide.", "Equal numbers are equal."),
        },
    ),
    Question(
        "spatial_temporal.quiz.6",
        "A model trained on one recording of each of six actions recognises them from new directions of view. What has been shown?",
        {
            "a": Choice(
                "that it knows these six actions",
                "It knows six recordings. Another person's kick may be a stranger to it.",
            ),
            "b": Choice(
                "that it recognises these recordings from views it has not seen",
                "One recording for each class is not a data set; directions of view are all that was held out.",
                right=True,
            ),
            "c": Choice(
                "that its attention is right", "There is no known truth about joints in recordings to score it by."
            ),
            "d": Choice("nothing at all", "New views are something: a model of single pictures could fail at them."),
        },
    ),
)
