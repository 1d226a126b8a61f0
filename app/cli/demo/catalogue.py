"""Forty things that shops in Kenya sell. Brands are left out or invented."""

from dataclasses import dataclass

NJERI = "njeri.duka"
OTIENO = "otieno.crafts"


@dataclass(frozen=True, slots=True)
class DemoProduct:
    sku: str
    picture: str
    category: str
    seller: str
    name: str
    price_kes: int
    stock: int
    description: str
    low_stock_threshold: int | None = 5

    @property
    def image_url(self) -> str:
        """One of our own drawings, among the static files."""
        return f"/static/demo/{self.picture}.svg"


CATEGORIES: dict[str, tuple[str, ...]] = {
    "Food and drink": ("Tea and coffee", "Flour and grains", "Pantry"),
    "Clothing": ("Kikoi and khanga", "Shukas", "Shoes"),
    "Home and crafts": ("Baskets", "Soapstone", "Kitchen"),
    "Electronics": ("Phone accessories", "Light and power"),
    "Care": ("Skin and hair", "Cleaning"),
}
"""Two levels: a heading and what is below it."""

PRODUCTS = (
    DemoProduct(
        "TEA-500", "tea-loose", "Tea and coffee", NJERI, "Kericho black tea, 500 g", 310, 120,
        "Loose CTC tea from the Kericho hills. Strong and red: made for chai with milk."
        " Keeps a year in a closed tin.",
    ),
    DemoProduct(
        "TEA-100B", "tea-bags", "Tea and coffee", NJERI, "Kericho tea bags, box of 100", 265, 90,
        "The same tea as our loose one, in string-and-tag bags without plastic.",
    ),
    DemoProduct(
        "TEA-PUR", "tea-purple", "Tea and coffee", NJERI, "Purple tea from Nandi, 100 g", 480, 25,
        "Whole purple leaves, lighter than black tea, with less caffeine. Best without milk.",
    ),
    DemoProduct(
        "COF-NYE", "coffee-beans", "Tea and coffee", NJERI,
        "Nyeri AA coffee, whole beans, 250 g", 780, 60,
        "Washed arabica from one cooperative in Nyeri, medium roast, roasted every second week."
        " Blackcurrant and a clean finish.",
    ),
    DemoProduct(
        "COF-GRD", "coffee-ground", "Tea and coffee", NJERI,
        "Nyeri coffee, ground for filter, 250 g", 760, 45,
        "The same beans, ground for filter or French press. Use within two months of opening.",
    ),
    DemoProduct(
        "UNGA-2", "maize-flour", "Flour and grains", NJERI, "Maize flour, sifted, 2 kg", 175, 200,
        "Grade 1 sifted maize flour, fortified with vitamins and iron as the law asks."
        " For ugali that holds.",
        20,
    ),
    DemoProduct(
        "UNGA-W2", "wheat-flour", "Flour and grains", NJERI,
        "Wheat flour for chapati, 2 kg", 198, 150,
        "Home-baking flour, fine and white. Makes about 30 chapati.",
        20,
    ),
    DemoProduct(
        "WIMBI-1", "millet-flour", "Flour and grains", NJERI,
        "Wimbi (finger millet) flour, 1 kg", 190, 70,
        "Stone-ground finger millet from Kisii for uji, with nothing added.",
    ),
    DemoProduct(
        "RICE-5", "rice", "Flour and grains", NJERI, "Mwea pishori rice, 5 kg", 1150, 40,
        "Aromatic long-grain rice grown in Mwea, this season's crop. Sorted; still rinse it.",
    ),
    DemoProduct(
        "NDENGU-1", "green-grams", "Flour and grains", NJERI, "Ndengu (green grams), 1 kg", 210, 80,
        "Sorted green grams from Kitui. They cook in about 40 minutes without soaking.",
    ),
    DemoProduct(
        "BEANS-2", "beans", "Flour and grains", NJERI, "Rosecoco beans, 2 kg", 420, 65,
        "Red speckled beans, dry and clean. Soak overnight.",
    ),
    DemoProduct(
        "HONEY-500", "honey", "Pantry", NJERI, "Baringo acacia honey, 500 g", 650, 35,
        "Raw honey from acacia country in Baringo, filtered once and not heated."
        " It turns solid in the cold; warm water brings it back.",
    ),
    DemoProduct(
        "PILAU-50", "pilau-masala", "Pantry", NJERI, "Pilau masala, 50 g", 120, 110,
        "Cumin, black pepper, cardamom, cloves and cinnamon, ground in Mombasa. No salt.",
    ),
    DemoProduct(
        "MACNUT", "macadamia", "Pantry", NJERI, "Roasted macadamia nuts, 200 g", 560, 50,
        "Murang'a macadamia, dry-roasted, lightly salted. May hold traces of peanut.",
    ),
    DemoProduct(
        "OIL-3", "sunflower-oil", "Pantry", NJERI, "Sunflower oil, 3 litres", 1080, 48,
        "Refined sunflower oil from seed grown in Kenya, in a can with a handle.",
    ),
    DemoProduct(
        "KIKOI-B", "kikoi-blue", "Kikoi and khanga", OTIENO, "Kikoi, ocean blue stripes", 1200, 30,
        "Handwoven cotton from the coast, 170 by 110 cm with knotted fringes."
        " Wash apart the first time: the blue lets go a little.",
    ),
    DemoProduct(
        "KIKOI-S", "kikoi-orange", "Kikoi and khanga", OTIENO,
        "Kikoi, sunset orange stripes", 1200, 26,
        "Handwoven cotton, 170 by 110 cm. A wrap, a towel, a sling for a sleeping child.",
    ),
    DemoProduct(
        "KHANGA-1", "khanga", "Kikoi and khanga", OTIENO, "Khanga pair, red and black", 850, 40,
        "Two printed cotton pieces, 150 by 110 cm each, sold uncut as is the custom."
        " The saying: Haba na haba hujaza kibaba.",
    ),
    DemoProduct(
        "KITENGE-6", "kitenge", "Kikoi and khanga", OTIENO, "Kitenge fabric, 6 yards", 1500, 18,
        "Wax print cotton, enough for a dress and a headwrap. Pattern as in the picture.",
    ),
    DemoProduct(
        "SHUKA-R", "shuka-red", "Shukas", OTIENO, "Maasai shuka, red check", 950, 55,
        "The acrylic check blanket that keeps the wind out on the plains, 200 by 150 cm.",
    ),
    DemoProduct(
        "SHUKA-F", "shuka-fleece", "Shukas", OTIENO, "Fleece-lined shuka, blue check", 2200, 15,
        "A shuka with fleece sewn to one side, for cold mornings in Limuru. 200 by 150 cm.",
    ),
    DemoProduct(
        "SHOE-SCH", "school-shoe", "Shoes", OTIENO,
        "School shoes, black leather, size 36", 1850, 24,
        "Full leather with a stitched sole that a fundi can replace. Polish before the first rain.",
    ),
    DemoProduct(
        "SANDAL-M", "beaded-sandals", "Shoes", OTIENO, "Beaded leather sandals, size 39", 1400, 20,
        "Cow leather with Maasai beadwork, made in Kajiado. Beads are sewn, not glued.",
    ),
    DemoProduct(
        "AKALA", "akala", "Shoes", OTIENO, "Akala sandals from old tyres, size 42", 600, 33,
        "Cut from a lorry tyre by hand. They outlive fashion and most owners.",
    ),
    DemoProduct(
        "CANVAS", "canvas-shoe", "Shoes", OTIENO, "Canvas shoes, white, size 40", 1100, 28,
        "Plain rubber-soled canvas shoes. They dry overnight.",
    ),
    DemoProduct(
        "KIONDO-M", "kiondo-medium", "Baskets", OTIENO, "Kiondo basket, medium", 2400, 16,
        "Woven from sisal in Machakos with leather handles, 30 cm across."
        " Each takes about nine days; stripes differ from the picture.",
    ),
    DemoProduct(
        "KIONDO-S", "kiondo-small", "Baskets", OTIENO, "Kiondo basket, small", 1600, 22,
        "Sisal and recycled yarn, 20 cm across, with a drawstring lining.",
    ),
    DemoProduct(
        "TRAY-MAK", "makuti-tray", "Baskets", OTIENO, "Makuti serving tray", 900, 12,
        "Woven palm from Malindi on a wooden ring, 40 cm. Wipe it, do not soak it.",
    ),
    DemoProduct(
        "STONE-HIP", "soapstone-hippo", "Soapstone", OTIENO, "Soapstone hippo, 12 cm", 750, 19,
        "Carved and polished in Tabaka, Kisii, of pink and white stone. No two are alike.",
    ),
    DemoProduct(
        "STONE-BOW", "soapstone-bowl", "Soapstone", OTIENO,
        "Soapstone bowl with giraffes", 1350, 11,
        "A 20 cm bowl, painted and etched by hand. For fruit or keys; not for hot food.",
    ),
    DemoProduct(
        "STONE-CHS", "soapstone-chess", "Soapstone", OTIENO, "Soapstone chess set", 4200, 4,
        "Board of 35 cm and 32 pieces in two colours, packed in straw. Heavy: 5 kg.",
    ),
    DemoProduct(
        "SUFURIA", "sufuria", "Kitchen", NJERI, "Sufuria set, five sizes", 2350, 17,
        "Thick aluminium without lids, 14 to 26 cm, that stack into each other.",
    ),
    DemoProduct(
        "JIKO", "jiko", "Kitchen", NJERI, "Clay-lined charcoal jiko", 1250, 21,
        "Saves about a third of the charcoal of an open jiko. Season it with a small fire first.",
    ),
    DemoProduct(
        "THERMOS", "flask", "Kitchen", NJERI, "Vacuum flask, 2 litres", 1680, 32,
        "Steel outside, glass inside: chai stays hot for eight hours.",
    ),
    DemoProduct(
        "CABLE-C", "usb-cable", "Phone accessories", OTIENO, "USB-C cable, 2 m, braided", 450, 140,
        "Charges at up to 60 W and moves data at USB 2.0 speed. One year of guarantee.",
        15,
    ),
    DemoProduct(
        "CHG-20", "charger", "Phone accessories", OTIENO, "20 W charger, 3-pin plug", 950, 75,
        "One USB-C socket, Kenyan (type G) plug. No cable in the box.",
    ),
    DemoProduct(
        "PBANK-10", "power-bank", "Phone accessories", OTIENO, "Power bank, 10,000 mAh", 1950, 38,
        "About two full charges of a usual phone. Two USB-A sockets, one USB-C for both ways.",
    ),
    DemoProduct(
        "EARPH", "earphones", "Phone accessories", OTIENO,
        "Earphones with microphone, 3.5 mm", 350, 95,
        "Wired, with three sizes of buds. For phones that still have the round socket.",
    ),
    DemoProduct(
        "SOLAR-L", "solar-lantern", "Light and power", OTIENO,
        "Solar lantern with phone charging", 2750, 23,
        "A day of sun gives six hours of bright light or a phone charge. Two years of guarantee.",
    ),
    DemoProduct(
        "BULB-9", "led-bulbs", "Light and power", NJERI,
        "LED bulb 9 W, pin base, pack of 3", 390, 130,
        "Daylight white, B22 base as in most Kenyan homes. Together they use 27 W.",
    ),
    DemoProduct(
        "SHEA-200", "shea-butter", "Skin and hair", NJERI, "Shea butter, 200 g", 420, 44,
        "Unrefined shea, pressed in northern Uganda. It smells of nuts; the smell fades.",
    ),
    DemoProduct(
        "SOAP-BAR", "bar-soap", "Cleaning", NJERI, "Blue bar soap, 800 g", 145, 160,
        "For laundry and dishes, in a long bar to cut as you need.",
        20,
    ),
)  # fmt: skip
