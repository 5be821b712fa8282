(() => {
  "use strict";
  const root = document.querySelector(".explorer");
  const data = JSON.parse(root.querySelector("script[type='application/json']").textContent);
  const find = (selector) => root.querySelector(selector);
  const state = { image: 0, attack: data.selected, k: 10, rounded: false };
  root.style.setProperty("--sprite", `url(${data.sprite})`);
  root.style.setProperty("--columns", data.columns);

  function make(tag, className, text) {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  }

  /* --- pictures --- */

  function picture(row, image, description) {
    const place = data.rows[row].tiles[image];
    const tile = make("span", "tile");
    tile.style.setProperty("--column", place % data.columns);
    tile.style.setProperty("--line", Math.floor(place / data.columns));
    if (description) {
      tile.setAttribute("role", "img");
      tile.setAttribute("aria-label", description);
    }
    return tile;
  }

  function scores(row) {
    const { ssim, mse, mean } = data.rows[row];
    const list = make("dl");
    for (const [name, own, all] of [["SSIM", ssim[state.image], mean.ssim], ["MSE", mse[state.image], mean.mse]]) {
      const value = make("dd", "", own.toFixed(4));
      value.append(make("small", "", `mean ${all.toFixed(4)}`));
      list.append(make("dt", "", name), value);
    }
    return list;
  }

  /* --- what the attacker sees --- */

  const defence = () => (state.rounded ? "rounded" : String(state.k));

  /* Outputs under the chosen defence; null where the target hides one. */
  function shown(outputs) {
    if (state.rounded) return outputs.map((value) => Number(value.toFixed(data.decimals)));
    const order = outputs.map((_, label) => label).sort((a, b) => outputs[b] - outputs[a] || a - b);
    const kept = new Set(order.slice(0, state.k));
    return outputs.map((value, label) => (kept.has(label) ? value : null));
  }

  /* What stands in the vector for a hidden output. */
  function filled(values) {
    const left = values.filter((value) => value !== null);
    return values.map((value) => value ?? (data.fill === "zero" ? 0 : Math.min(...left)));
  }

  function drawOutputs() {
    const { outputs, label, predicted } = data.images[state.image];
    const given = shown(outputs), answer = filled(given), decimals = state.rounded ? data.decimals : 2;
    const low = Math.min(0, ...outputs), high = Math.max(0, ...outputs), range = high - low || 1;
    const bars = find(".bars");
    bars.replaceChildren(...outputs.map((exact, digit) => {
      const column = make("div", "bar");
      if (digit === predicted) column.classList.add("predicted");
      const track = make("div", "track");
      const bar = (value, name) => {
        const part = make("span", name);
        part.style.bottom = `${(100 * (Math.min(0, value) - low)) / range}%`;
        part.style.height = `${(100 * Math.abs(value)) / range}%`;
        return part;
      };
      const zero = make("span", "zero");
      zero.style.bottom = `${(-100 * low) / range}%`;
      track.append(zero);
      if (given[digit] === null) track.append(bar(exact, "hidden"));
      track.append(bar(answer[digit], "given"));
      const value = make("span", "value", given[digit] === null ? "?" : given[digit].toFixed(decimals).replace("-", "−"));
      column.append(value, track, make("span", "digit", digit));
      return column;
    }));
    const spoken = given.map((value, digit) => `${digit}: ${value === null ? "hidden" : value.toFixed(decimals)}`).join(", ");
    bars.setAttribute("aria-label", `Bar chart of the ten ${data.form} that the attacker sees. ${spoken}.`);
    bars.dataset.answer = JSON.stringify(answer);
    const right = label === predicted ? "rightly" : `wrongly: the image is a ${label}`;
    const hides = state.k < 10 ? " Dashed, with a question mark: what it hides." + (data.fill === "zero" ? " The attacker reads a zero there." : "") : "";
    find(".outputs figcaption").textContent =
      `What the target answers (${data.form}). Its largest output says ${predicted}, ${right}.${hides}`;
  }

  /* --- the four pictures side by side --- */

  function card(title, subtitle, row, description) {
    const box = make("figure", "view");
    const caption = make("figcaption");
    const name = make("strong");
    name.innerHTML = title;
    caption.append(name, make("span", "", subtitle));
    box.append(row ? picture(row, state.image, description) : make("span", "tile absent", "not computed"), caption);
    if (row && data.rows[row].ssim) caption.append(scores(row));
    return box;
  }

  const attack = () => data.attacks.find(({ name }) => name === state.attack);
  const titleOf = ({ group, title }) => (group === "gradient" ? `<i>X̃</i> ${title}` : `<i>M<sub>I</sub></i>(${title})`);
  const defenceText = () => (state.rounded ? "outputs rounded" : state.k < 10 ? `k = ${state.k}` : "all ten outputs");

  function drawStage() {
    const { number, label, predicted } = data.images[state.image];
    const chosen = attack(), row = chosen.rows[defence()];
    const same = `the same picture for every ${predicted}`;
    const given = chosen.group === "target" ? "with the target's weights" : defenceText();
    find(".stage").replaceChildren(
      card("What went in", `image ${number} of the test set`, "target", `True image of a ${label}`),
      card(titleOf(chosen), given, row, `Reconstruction: ${chosen.spoken}, ${defenceText()}`),
      card("Label alone", same, data.labelOnly, `Fixed picture for the predicted class ${predicted}`),
      card("Class average", same, data.classAverage, `Average of the attacker's images of class ${predicted}`),
    );
    find(".reading").textContent = row ? reading(row) : "The study has not computed this attack under this defence.";
  }

  function reading(row) {
    const own = data.rows[row].ssim[state.image], alone = data.rows[data.labelOnly].ssim[state.image];
    const relation = own > alone ? "above" : own < alone ? "below" : "the same as";
    return `SSIM of this reconstruction: ${own.toFixed(4)}, ${relation} what the label alone gives (${alone.toFixed(4)}).`;
  }

  /* --- choices --- */

  /* Radio buttons, of which the arrow keys pick one; `faces` are what stands on them. */
  function choices(group, name, faces, selected, pick) {
    group.replaceChildren(...faces.map(({ face, description, title }, index) => {
      const label = make("label", "choice"), input = make("input");
      Object.assign(input, { type: "radio", name, checked: index === selected });
      input.setAttribute("aria-label", description);
      input.addEventListener("change", () => pick(index));
      label.append(input, face);
      if (title) label.append(title);
      return label;
    }));
  }

  const classes = [...new Set(data.images.map(({ label }) => label))];
  const membersOf = (label) => data.images.flatMap((image, index) => (image.label === label ? [index] : []));

  function drawPicker() {
    const { label } = data.images[state.image];
    const digits = classes.map((digit) => ({ face: make("span", "digit", digit), description: `digit ${digit}` }));
    choices(find(".digits .choices"), "explorer-digit", digits, classes.indexOf(label), (index) => {
      state.image = membersOf(classes[index])[0];
      drawImages();
      draw();
    });
    drawImages();
  }

  function drawImages() {
    const { label } = data.images[state.image], members = membersOf(label);
    const faces = members.map((image) => ({
      face: picture("target", image), description: `image ${data.images[image].number}, a ${label}`,
    }));
    choices(find(".images .choices"), "explorer-image", faces, members.indexOf(state.image), (index) => {
      state.image = members[index];
      draw();
    });
  }

  function drawAttacks() {
    for (const group of Object.keys(data.groups)) {
      const attacks = data.attacks.filter((each) => each.group === group);
      const box = find(`.group.${group}`);
      if (!box) continue;
      const faces = attacks.map((each) => faceOf(each));
      const selected = attacks.findIndex(({ name }) => name === state.attack);
      const focused = box.contains(document.activeElement);
      choices(box.querySelector(".choices"), "explorer-attack", faces, selected, (index) => {
        state.attack = attacks[index].name;
        draw();
      });
      if (focused && selected >= 0) box.querySelectorAll("input")[selected].focus();
    }
  }

  function faceOf(each) {
    const row = each.rows[defence()];
    const title = make("span", "title");
    title.innerHTML = each.title;
    const score = row ? data.rows[row].ssim[state.image].toFixed(4) : "—";
    title.append(make("small", "", score));
    return {
      face: row ? picture(row, state.image) : make("span", "tile absent"),
      description: `${each.spoken}: ${row ? `SSIM ${score}` : "not computed under this defence"}`,
      title,
    };
  }

  for (const [group, title] of Object.entries(data.groups)) {
    if (!data.attacks.some((each) => each.group === group)) continue;
    const box = make("fieldset", `group ${group}`);
    const legend = make("legend");
    legend.innerHTML = title;
    box.append(legend, make("div", "choices"));
    find(".attacks").append(box);
  }

  /* --- controls --- */

  const slider = find(".truncation"), rounding = find(".rounding");
  slider.max = data.truncations.length - 1;
  find(".round span").textContent = `round to ${data.decimals} decimal${data.decimals === 1 ? "" : "s"} instead`;
  find(".stops").replaceChildren(...data.truncations.map((k) => make("span", "", k)));
  slider.addEventListener("input", () => {
    state.k = data.truncations[slider.value];
    state.rounded = false;
    draw();
  });
  rounding.addEventListener("change", () => {
    state.rounded = rounding.checked;
    state.k = data.truncations[0];
    draw();
  });
  find(".another").addEventListener("click", () => {
    const others = data.images.map((_, index) => index).filter((index) => index !== state.image);
    state.image = others[Math.floor(Math.random() * others.length)];
    drawPicker();
    draw();
  });

  function draw() {
    slider.value = data.truncations.indexOf(state.k);
    slider.setAttribute("aria-valuetext", `${state.k} of 10`);
    find(".k").textContent = state.k;
    rounding.checked = state.rounded;
    drawOutputs();
    drawStage();
    drawAttacks();
  }

  drawPicker();
  draw();
})();
