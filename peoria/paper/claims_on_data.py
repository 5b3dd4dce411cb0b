"""What the paper claims of popularity, of other work and of its own pictures and counts: sections 1 to 4.1."""

import math

from peoria.config.paper_recipe import PAPER
from peoria.paper import arithmetic, printed
from peoria.paper.claim import Claim
from peoria.paper.printed import NUM_ANALYSED, NUM_COLLECTED, NUM_FAVORITED, NUM_OFFERED, NUM_REMOVED, OUTLIER_SD, TABLE_1, TABLE_2

YFCC = (99.2, 0.8)  # million photos and videos: Thomee et al. 2016, "YFCC100M: the new data in multimedia research"
KHOSLA = (2.3, 0.81)  # million Flickr pictures, rank correlation by content and social cues: the abstract of Khosla et al. 2014


def introduction() -> list[Claim]:
    views = TABLE_1["views"]
    digits = 256 * 256 * 3 * math.log10(256)
    targets = sorted({settings["target"].value for settings in PAPER.values()}, reverse=True)
    return [
        Claim("abstract", "to predict image popularity as measured by the number of views, 'favorites' and comments", "inconsistent", f"""
            The {len(PAPER)} experiments (4.1 to 4.3) predict {" and ".join(targets)}; comments are never predicted."""),
        Claim("1", "tens or hundreds of thousands times more popular", "unverifiable", f"""
            The most viewed picture has {views.max / views.mean:,.0f} times the mean. Ten thousand times holds against pictures of at most
            {views.max // 10_000} views, a hundred thousand times against those of at most {views.max // 100_000}; how many these are is not
            said."""),
        Claim("1", "the majority of imagespace is images of noise, yet very few images of noise are widely popular", "unverifiable", f"""
            It sets a share of all possible pictures (10^{digits:,.0f} of 256×256) against a share of uploaded ones. What would count is how often
            uploaded noise becomes popular beside other uploads; the paper has no such noise."""),
        Claim("1, 6.3", """very few images of noise are widely popular; we made the argument […] and offered as proof the fact that there are no
            popular images that are of white noise. While this is true""", "inconsistent", """
            Very few in one place, none in the other, which says of itself that it repeats the first. No count is given of either."""),
        Claim("1", "images that are objectively aesthetic or attractive […] are plainly more likely to be popular", "unverifiable", """
            No picture is rated, no source is named, and 6.4 asks it as a question."""),
        Claim("2", "none (to the author's awareness) have done so as directly as the work presented in this paper", "inconsistent", f"""
            Khosla, Das Sarma and Hamid, “What makes an image popular?” (WWW, April 2014), predict normalised views of {KHOSLA[0]} million Flickr
            pictures, {KHOSLA[0] * 1e6 / NUM_ANALYSED:.1f} times as many, with a rank correlation of {KHOSLA[1]} by content and social cues together.
            The paper cites work of that year and the next, and not this; what its author was aware of saves the words, not the priority."""),
    ]  # fmt: skip


def pictures() -> list[Claim]:
    views, favorites, comments = TABLE_1.values()
    mu, sigma = arithmetic.lognormal(views.mean, views.sd)
    favorited = NUM_FAVORITED / NUM_ANALYSED
    average = printed.AVERAGE_PICTURE
    return [
        Claim("3.1", "metadata for some 90 million images and 10 million videos", "inconsistent",
            f"Its makers count {YFCC[0]} and {YFCC[1]} million (Thomee et al. 2016)."),
        Claim("3.1", "images were only drawn from those that included at least one of the top 100 tags", "unverifiable", f"""
            So nothing here is of pictures without such a tag. How many have one, how {NUM_COLLECTED:,} ({NUM_COLLECTED / NUM_OFFERED:.2%} of the 90
            million) were drawn from them, and whether they are viewed as others are, is not said. 6.1 calls these data “too unconstrained”."""),
        Claim("3.1, 4.1, 4.2", "over 400,000 images were collected; some 500 images being excluded; of the 393,691 images analyzed",
            "unverifiable", f"""
            {NUM_ANALYSED:,} + {NUM_REMOVED} = {NUM_ANALYSED + NUM_REMOVED:,}: the other {NUM_COLLECTED - NUM_ANALYSED - NUM_REMOVED:,} or more are
            unexplained. What became of them is not said."""),
        Claim("3.2", "only one in ten images has a favorite or a comment", "unverifiable", f"""
            {favorited:.2%} have a favourite, so at least that many have one or the other; with comments, of which there are {comments.mean:.2f} a
            picture, at most {favorited + comments.mean + arithmetic.HALF_DIGIT:.1%}. What share has a comment is not printed."""),
        Claim("3.2", "they are actually more frequent than favorites", "reproducible",
            f"{comments.mean / favorites.mean:.2f} comments for each favourite by Table 1; of pictures with one, nothing is said."),
        Claim("Figure 1", "an average-popularity image with 200 views", "unverifiable", f"""
            Loose: {average / views.mean - 1:.0%} above the mean of {views.mean}. If that is the mean after the removal, {average} is the one before
            it where the {NUM_REMOVED} removed average {arithmetic.removed_mean(average, views.mean):,.0f} views; the most is {views.max:,}, so they
            can. A typical picture it is not: a lognormal of Table 1's mean and sd has its median at {math.exp(mu):.0f} views and
            {arithmetic.share_above(average, mu, sigma):.0%} of the pictures above {average}."""),
    ]  # fmt: skip


def counts() -> list[Claim]:
    views, favorites, comments = TABLE_1.values()
    vf, vc, fc = TABLE_2.values()
    cut_at = {name: arithmetic.limit(row) for name, row in TABLE_1.items()}

    def forced(name: str) -> str:
        row = TABLE_1[name]
        return f"""One value of {row.max:,} forces an sd of at least {arithmetic.forced_sd(row, NUM_ANALYSED):,.2f} among {NUM_ANALYSED:,} pictures
            ({arithmetic.forced_sd(row, NUM_COLLECTED):,.2f} among {NUM_COLLECTED:,})"""

    return [
        Claim("Table 1", "Views 146.37 323.58 321,528", "inconsistent", f"""
            {forced("views")}; the printed one needs {arithmetic.needed_num(views):,}, rounding in its favour. Mean and sd can be of the cut
            pictures and the maximum of all; they cannot be of one set."""),
        Claim("Table 1", "Favorites 0.32 2.21 1,533", "inconsistent", f"""
            {forced("favorites")}; the printed one needs {arithmetic.needed_num(favorites):,}. If mean and sd are of the cut pictures, the cut was not
            at this mean + {OUTLIER_SD:g} sd = {cut_at["favorites"]:.1f}, below which an sd is at most
            {arithmetic.most_sd(favorites.mean, cut_at["favorites"]):.2f} (Bhatia and Davis 2000): some that stayed have at least
            {arithmetic.needed_top(favorites)}, and the sd of all is at least {arithmetic.uncut(favorites).sd:.2f}."""),
        Claim("Table 1", "Comments 0.50 5.51 1,175", "unverifiable", f"""
            {forced("comments")}: possible in one set. If mean and sd are of the cut pictures, it is narrow: some that stayed have at least
            {arithmetic.needed_top(comments)} comments, but mean + {OUTLIER_SD:g} sd is {cut_at["comments"]:.1f}, below which an sd is at most
            {arithmetic.most_sd(comments.mean, cut_at["comments"]):.2f}. So the sd of all is at least {arithmetic.uncut(comments).sd:.1f}, and the
            {NUM_REMOVED} removed have a root mean square of at least {arithmetic.uncut(comments).removed_rms:.0f} comments; the most is
            {comments.max:,}."""),
        Claim("Table 2", "Covariance structure among popularity metrics", "unverifiable", f"""
            As a covariance, {vf} would be a correlation of {vf / views.sd / favorites.sd:.4f}; they are correlations. Such a matrix can exist
            (eigenvalues {", ".join(f"{value:.2f}" for value in arithmetic.eigenvalues())}). Whether the outliers are in is not said."""),
        Claim("3.2", """The number of favorites was predictive of the number of comments and the number of views, but views and comments were not
            highly predictive of each other""", "reproducible", f"""
            Shares of variance, from Table 2: {fc**2:.1%}, {vf**2:.1%} and {vc**2:.1%}. With favourites held fixed, views and comments correlate at
            {arithmetic.partial(vc, vf, fc):.2f}."""),
    ]  # fmt: skip


def laws() -> list[Claim]:
    views = TABLE_1["views"]
    exponent = arithmetic.zeta_exponent(views.mean)
    law = {top: arithmetic.ended_power_law(views.mean, top) for top in (views.max, round(arithmetic.limit(views)))}
    least = arithmetic.forced_sd(views, NUM_COLLECTED)
    cut = arithmetic.cut_lognormal(views.mean, views.sd)
    lost = cut.share_cut * (NUM_ANALYSED + NUM_REMOVED)
    error, batch_size = views.max - views.mean, printed.BATCH_SIZE
    return [
        Claim("4.1, Figure 2", "depicting a clear Power Law relationship", "unverifiable", f"""
            A histogram cannot show it: that of a lognormal of Table 1's mean and sd, up to 2,000 views, on two logarithmic axes, has a straight line
            with R² = {arithmetic.loglog_fit(views.mean, views.sd):.2f} through it. A power law from one view on with a mean of {views.mean} has
            α = {exponent:.3f} and {arithmetic.share_of_ones(exponent):.0%} of the pictures at exactly one view
            ({"; ".join(f"{alpha:.2f} and {ones:.0%} if it ends at {top:,}" for top, (alpha, ones) in law.items())}); ten bins of “an equal number of
            images” (4.3) could be made of none of them. At best the tail is one."""),
        Claim("4.1", "the distribution of popularity of any type of item or concept almost always follow a power law distribution",
            "unverifiable", """
            No source is named and no other item shown. Of the paper's own counts it does not follow either, see above."""),
        Claim("4.1", "they act like land mines in the training process, causing the loss to temporarily explode and derailing gradient descent",
            "unverifiable", f"""
            One picture of {views.max:,} views in a batch of {batch_size} gives a loss {error**2 / batch_size / views.sd**2:,.0f} times that of the
            mean by Table 1's sd, and moves the last bias {error / math.sqrt(batch_size) / views.sd:.0f} times as far as a batch usually does: the
            loss does explode, for that batch. Whether training is derailed is not shown. It can be tested: peoria's searches draw `outlier_sd`, and
            no removal is one of its values."""),
        Claim("4.1", "more than six standard deviations above the mean was removed, resulting in some 500 images being excluded", "unverifiable", f"""
            Any law allows up to {arithmetic.cantelli(OUTLIER_SD):.1%} a count (Cantelli); {NUM_REMOVED} of {NUM_ANALYSED + NUM_REMOVED:,} are
            {NUM_REMOVED / (NUM_ANALYSED + NUM_REMOVED):.2%}. The limit is {arithmetic.limit(views):,.0f} views by Table 1's sd, at least
            {views.mean + OUTLIER_SD * least:,.0f} by one that the maximum allows among {NUM_COLLECTED:,}. The lognormal that has Table 1's mean and
            sd after the cut loses {cut.share_cut:.2%} by views alone, {lost:,.0f} pictures: {lost / NUM_REMOVED:.1f} times what the paper lost by
            any of three counts."""),
    ]  # fmt: skip
