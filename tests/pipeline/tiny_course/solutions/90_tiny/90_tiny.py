# %% [markdown] section="card"
# # A tiny lesson
#
# {{card}}

# %%
from tinylab.checks import check
from tinylab.data import load_numbers

numbers = load_numbers()
numbers

# %% [markdown] why=true
# Why does one large number move the mean?

# %% role="figure"
import matplotlib.pyplot as plt

plt.plot(numbers)
plt.show()

# %% role="interactive"
import ipywidgets

ipywidgets.IntSlider()

# %% [markdown] exercise_text="mean"
# Write the mean.


# %% exercise="mean"
def mean(numbers):
    """The mean of a list."""
    ### BEGIN SOLUTION
    return sum(numbers) / len(numbers)
    ### END SOLUTION


# %% check="mean"
check.mean(mean)

# %% role="carry_on"
mean = check.mean.carry_on(mean)
mean(numbers)

# %% [markdown] exercise_text="largest"
# Write the largest.


# %% exercise="largest"
def largest(numbers):
    best = numbers[0]
    ### BEGIN SOLUTION
    for number in numbers:
        best = max(best, number)
    return best
    ### END SOLUTION


# %% check="largest"
check.largest(largest)
